//! A device: software TPM, state folder, message bus and the daemon as a process.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use holdfast_attestation::pcr::{KERNEL_PCR as KERNEL_PCR_INDEX, SITE_PCR};
use holdfast_ipc::identity::Identity1Proxy;
use holdfast_tpm::swtpm::Swtpm;
use zbus::proxy::CacheProperties;

use crate::cloud::{self, Cloud, measurement};
use crate::private_bus::{OPEN, PrivateBus};

/// Longest wait for a milestone: several times what a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Device {
    pub tpm: Swtpm,
    pub bus: PrivateBus,
    folder: tempfile::TempDir,
    site: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(&'static str, String)>,
}

impl Device {
    /// Makes a device that booted with this site configuration.
    pub fn new(serial: &str, site: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let device = Self {
            tpm: Swtpm::blank().unwrap(),
            bus: PrivateBus::start(OPEN),
            folder,
            site: site.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
        };
        fs::create_dir(device.path("credentials")).unwrap();
        fs::write(device.path("credentials/dmi-serial"), format!("{serial}\n")).unwrap();
        device.set_build_time(1_763_800_000);
        fs::write(device.path("machine-id"), "7d1c9a3f52b84c0e9a60b1f3d2e4c586\n").unwrap();
        fs::write(device.path("group"), "").unwrap();
        fs::write(
            device.path("identity.toml"),
            "unit_proof = \"pid\"\n\
             [[sign]]\nkey = \"device\"\nschemes = [\"rsa-pss-sha256\"]\nrole = \"admin\"\n\
             [[sign]]\nkey = \"audit\"\nschemes = [\"ecdsa-p256-sha256\"]\nrole = \"admin\"\n\
             [[token]]\naudience = \"*\"\nrole = \"admin\"\n\
             [[token]]\naudience = \"units-only\"\nunits = [\"agent.service\"]\n\
             [seal]\nrole = \"operator\"\n",
        )
        .unwrap();
        device.measure_boot();
        device
    }

    /// A client of the daemon.
    pub async fn identity(&self) -> Identity1Proxy<'static> {
        let connection = self.bus.connect().await;
        let builder = Identity1Proxy::builder(&connection).cache_properties(CacheProperties::No);
        builder.build().await.unwrap()
    }

    /// What firmware and boot do: extends the PCRs.
    pub fn measure_boot(&self) {
        let deadline = Instant::now() + PATIENCE;
        let tpm = loop {
            // Just after a power cycle the software TPM may not listen yet.
            match self.tpm.open() {
                Ok(tpm) => break tpm,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        tpm.pcr_extend(KERNEL_PCR_INDEX, &cloud::KERNEL_PCR).unwrap();
        tpm.pcr_extend(SITE_PCR, &measurement(&self.site)).unwrap();
    }

    /// Puts the disk into another machine.
    pub fn exchange_tpm(&mut self) {
        self.tpm = Swtpm::blank().unwrap();
        self.measure_boot();
    }

    /// Cuts the power of daemon and TPM, and boots again.
    pub fn cut_power(&mut self, daemon: Daemon) {
        drop(daemon);
        self.tpm.power_cycle().unwrap();
        self.measure_boot();
    }

    /// Boots with another site configuration on the boot partition.
    pub fn boot_with(&mut self, site: &Path) {
        site.clone_into(&mut self.site);
        self.tpm.power_cycle().unwrap();
        self.measure_boot();
    }

    pub fn set_build_time(&self, seconds: u64) {
        let text = format!("version = \"0.1.0\"\nbuild_time = {seconds}\n");
        fs::write(self.path("release.toml"), text).unwrap();
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn read_state(&self, name: &str) -> String {
        fs::read_to_string(self.state().join(name)).unwrap()
    }

    /// Starts the daemon.
    pub fn start(&self) -> Daemon {
        // As the service manager does, name the process that the watchdog is meant for.
        let mut command = Command::new("sh");
        command.args(["-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh"]);
        command.arg(env!("CARGO_BIN_EXE_holdfast-enroll"));
        let path = |name: &str| self.path(name).display().to_string();
        command
            .args(["--state", &path("state"), "--site", self.site.to_str().unwrap()])
            .args(["--release", &path("release.toml"), "--policy", &path("identity.toml")])
            .args(["--groups", &path("group"), "--journal", &path("no-journal")])
            // A process of a test is of no unit, and so no source of records.
            .args(["--audit", "journal"])
            .args(["--machine-id", &path("machine-id")])
            .args(["--credentials", &path("credentials"), "--tcti", &self.tpm.tcti()])
            .args(["--bus", &self.bus.address])
            .args(["--pcr-signature", &path("signature.json")])
            .args(["--pcr-public-key", &path("pcr.pem")])
            .args(&self.arguments)
            .env("TSS2_LOG", "all+NONE")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Daemon { process, lines }
    }

    /// Starts the daemon for the first time, registers the device, and waits until it is active.
    /// Returns its device id too.
    pub async fn enrolled(&self, cloud: &Cloud, serial: &str) -> (Daemon, String) {
        let daemon = self.start();
        let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
        cloud.operate(&["device", "register", serial, "--ek-sha256", &ek]).await;
        let device_id = daemon.wait_for("active").field("device_id").to_owned();
        (daemon, device_id)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The running daemon; killed when dropped.
pub struct Daemon {
    process: Child,
    lines: Receiver<String>,
}

impl Daemon {
    /// Waits for a milestone and returns its `key=value` fields.
    pub fn wait_for(&self, event: &str) -> Milestone {
        self.wait_within(event, PATIENCE).unwrap_or_else(|seen| {
            panic!("no milestone {event:?} within {PATIENCE:?}, but {seen:#?}")
        })
    }

    /// Waits until the connector has confirmed the device; its device id.
    pub fn online(&self) -> String {
        loop {
            let active = self.wait_for("active");
            if active.field("offline") == "false" {
                return active.field("device_id").to_owned();
            }
        }
    }

    /// Asserts that a milestone does not come for this long.
    pub fn never(&self, event: &str, wait: Duration) {
        if let Ok(milestone) = self.wait_within(event, wait) {
            panic!("unexpected milestone {event:?}: {milestone:?}");
        }
    }

    fn wait_within(&self, event: &str, wait: Duration) -> Result<Milestone, Vec<String>> {
        let deadline = Instant::now() + wait;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                return Err(seen);
            };
            if let Some(fields) = line.strip_prefix(&format!("holdfast: {event} ")) {
                return Ok(Milestone(fields.to_owned()));
            }
            seen.push(line);
        }
    }

    /// Stops as the service manager does, and expects success.
    pub fn stop(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The fields of a milestone line.
#[derive(Debug)]
pub struct Milestone(String);

impl Milestone {
    pub fn field(&self, key: &str) -> &str {
        self.0
            .split(' ')
            .find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_else(|| panic!("no field {key} in {:?}", self.0))
    }
}
