//! The first thing that happens with USB after a boot, before udev loads any driver.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use holdfast_daemon::config::{self, ConfigError};

use crate::blocker::{Blocker, Files, Scope};
use crate::clock::Now;
use crate::config::{Config, Mode};
use crate::options::ImageFiles;
use crate::sysfs::SysfsTree;

/// How often controllers are looked for while their drivers load. A hub waits 100 ms after
/// something was plugged in (USB 2.0, 7.1.7.3) until it is asked.
const LOOK: Duration = Duration::from_millis(5);
/// How long drivers may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// USB is not locked down.
#[derive(Debug, thiserror::Error)]
pub enum LockdownError {
    /// A file of the image.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A driver.
    #[error("cannot load the drivers of the USB controllers: {0}")]
    Drivers(String),
    /// Ports are still on.
    #[error("{0}")]
    Ports(String),
}

/// Does it. No device is let in, whatever the rules say: that is the daemon's.
pub fn run(image: &ImageFiles, runtime: &Path) -> Result<(), LockdownError> {
    let config = config::parse(&image.config, Config::parse)?;
    if config.mode == Mode::Observe {
        tracing::warn!("ports stay on: the policy is only observed");
        return load(&config.lockdown.drivers, || {});
    }
    let folder = image.ports.with_file_name("none");
    let files = Files {
        state: folder.clone(),
        runtime: runtime.to_owned(),
        rules: folder,
        ports: image.ports.clone(),
    };
    let mut blocker = Blocker::new(SysfsTree::at(&image.sysfs), &config, files);
    let now = Now { uptime: Duration::ZERO, local_time: None, may_allow: false };
    let mut look = || {
        blocker.reconcile(&now, Scope::Events);
        blocker.take_news();
        (blocker.status(), blocker.ports())
    };
    load(&config.lockdown.drivers, || drop(look()))?;
    let (status, ports) = look();
    tracing::info!(on = status.ports.open, off = status.ports.shut, "USB ports");
    let stuck = ports.iter().filter(|port| port.enabled && port.state == "unused");
    let stuck: Vec<_> = stuck.map(|port| port.name.as_str()).collect();
    if stuck.is_empty() {
        return Ok(());
    }
    Err(LockdownError::Ports(format!("these ports cannot be switched off: {}", stuck.join(", "))))
}

/// Loads drivers, and looks all the while.
fn load(drivers: &[String], mut look: impl FnMut()) -> Result<(), LockdownError> {
    if drivers.is_empty() {
        look();
        return Ok(());
    }
    let failed = |error: io::Error| LockdownError::Drivers(format!("modprobe: {error}"));
    let mut child = modprobe(drivers).map_err(failed)?;
    let start = Instant::now();
    loop {
        let ended = child.try_wait().map_err(failed)?;
        look();
        match ended {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                let drivers = drivers.join(", ");
                return Err(LockdownError::Drivers(format!(
                    "{drivers}: modprobe ended with {status}"
                )));
            }
            None if start.elapsed() > PATIENCE => {
                // It is stuck in the kernel; what it does later, the daemon sees.
                return Err(LockdownError::Drivers(format!("not within {} s", PATIENCE.as_secs())));
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

fn modprobe(drivers: &[String]) -> io::Result<Child> {
    let mut command = Command::new("/usr/sbin/modprobe");
    command.args(["--all", "--"]).args(drivers).stdin(Stdio::null()).spawn()
}
