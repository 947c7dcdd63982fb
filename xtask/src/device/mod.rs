//! `cargo xtask device`: a device of one's own, with a connector beside it.

pub mod control;
pub mod session;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use holdfast_qemu::{Device, PowerOn, Terminal, Typed};
use holdfast_tests::{Bench, Ports, Workshop};
use serde_json::Value;

use crate::paths::Paths;
use crate::process::step;
use crate::signals::Stop;
use crate::tools::Tools;
use crate::{binaries, host, image};
use control::{ROUND, Request, UsbKind};
use session::{Session, Wish};

/// The device that `cargo xtask demo` makes.
pub const DEMO: &str = "demo";

/// What can be done with devices.
#[derive(Subcommand)]
pub enum Verb {
    /// Make a device, or take the one of this name, and boot it with its console in this terminal
    #[command(after_help = KEYS)]
    Start(Start),
    /// Connect this terminal to the console of a running device
    Attach {
        /// The device
        #[arg(default_value = DEMO)]
        name: String,
    },
    /// List the devices
    List,
    /// Say how a running device is
    Status {
        /// The device
        #[arg(default_value = DEMO)]
        name: String,
    },
    /// Plug USB devices in and pull them out
    #[command(subcommand)]
    Usb(Usb),
    /// Plug the network cable in or pull it out
    Cable {
        /// The device
        name: String,
        /// Where the plug is
        place: Place,
    },
    /// Cut the power: unflushed writes are lost at random
    Cut {
        /// The device
        #[arg(default_value = DEMO)]
        name: String,
        /// Decides which writes are lost
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Press the reset button
    Reset {
        /// The device
        #[arg(default_value = DEMO)]
        name: String,
    },
    /// Press the power button
    Power {
        /// The device
        #[arg(default_value = DEMO)]
        name: String,
    },
    /// Run a command of QEMU's monitor (QMP)
    Qmp {
        /// The device
        name: String,
        /// The command, such as query-status
        command: String,
        /// Its arguments, a JSON object
        #[arg(default_value = "null")]
        arguments: String,
    },
    /// Remove a device that is off, and its connector
    Remove {
        /// The device
        name: String,
    },
}

const KEYS: &str = "\
Keys:
  Ctrl-] q   shut the device down and end
  Ctrl-] c   cut the power
  Ctrl-] r   press the reset button
  Ctrl-] p   press the power button
  Ctrl-] ?   show these keys
Everything else goes to the device.";

/// `device start`
#[derive(Args)]
pub struct Start {
    /// What to call it: a-z, 0-9 and hyphens
    name: String,
    /// Make it anew, with a new TPM, disk and connector
    #[arg(long)]
    fresh: bool,
    /// Image profile of a new device [default: release]
    #[arg(long)]
    profile: Option<String>,
    /// Let devices with this image enrol, whatever its profile (release images may always)
    #[arg(long)]
    publish: bool,
    /// Serial number of a new device [default: HF-NAME-0001]
    #[arg(long)]
    serial: Option<String>,
}

/// `device usb`
#[derive(Subcommand)]
pub enum Usb {
    /// Plug a USB device in
    Plug {
        /// The device
        name: String,
        /// What to plug in
        kind: UsbKind,
        /// A name to unplug it by
        #[arg(long, default_value = "usb0")]
        id: String,
        /// Content of a memory stick, raw [default: 64 MiB of its own, blank at first]
        #[arg(long)]
        image: Option<PathBuf>,
    },
    /// Pull a USB device out
    Unplug {
        /// The device
        name: String,
        /// The name that it was plugged in by
        #[arg(default_value = "usb0")]
        id: String,
    },
}

/// Where the network cable's plug is.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Place {
    /// Plugged in
    In,
    /// Pulled out
    Out,
}

/// Runs a verb.
pub fn run(paths: &Paths, verb: Verb) -> Result<()> {
    let ask = |name: &str, request: &Request| control::ask(&folder(paths, name)?, request);
    match verb {
        Verb::Start(start) => self::start(paths, &start),
        Verb::Attach { name } => control::attach(&folder(paths, &name)?),
        Verb::List => {
            list(paths);
            Ok(())
        }
        Verb::Status { name } => show(&ask(&name, &Request::Status)?),
        Verb::Usb(Usb::Plug { name, kind, id, image }) => {
            let image = image.map(|i| i.canonicalize().with_context(|| i.display().to_string()));
            ask(&name, &Request::Plug { kind, id, image: image.transpose()? }).map(drop)
        }
        Verb::Usb(Usb::Unplug { name, id }) => ask(&name, &Request::Unplug { id }).map(drop),
        Verb::Cable { name, place } => {
            ask(&name, &Request::Cable { up: matches!(place, Place::In) }).map(drop)
        }
        Verb::Cut { name, seed } => show(&ask(&name, &Request::Cut { seed })?),
        Verb::Reset { name } => ask(&name, &Request::Reset).map(drop),
        Verb::Power { name } => ask(&name, &Request::PowerButton).map(drop),
        Verb::Qmp { name, command, arguments } => {
            let arguments = serde_json::from_str(&arguments).context("arguments")?;
            show(&ask(&name, &Request::Qmp { command, arguments })?)
        }
        Verb::Remove { name } => {
            let folder = folder(paths, &name)?;
            ensure_off(&folder, &name)?;
            ensure!(Bench::is_at(&folder), "there is no device {name}");
            fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))
        }
    }
}

fn show(value: &Value) -> Result<()> {
    match value {
        Value::String(text) => println!("{text}"),
        value => println!("{}", serde_json::to_string_pretty(value)?),
    }
    Ok(())
}

/// The folder of a device and its bench.
pub fn folder(paths: &Paths, name: &str) -> Result<PathBuf> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        (1..=32).contains(&name.len()) && name.chars().all(plain),
        "a device's name has 1 to 32 characters of a-z, 0-9 and hyphen, unlike {name:?}"
    );
    Ok(paths.build.join("devices").join(name))
}

/// An error if the device runs.
pub fn ensure_off(folder: &Path, name: &str) -> Result<()> {
    match control::running(folder) {
        Some(pid) => bail!("device {name} is on already, run by process {pid}"),
        None => Ok(()),
    }
}

/// The name under which a bench of these commands keeps its one device.
pub const ON_BENCH: &str = "device";

/// A device that is off, on its bench.
pub struct Ready {
    /// Its bench, with the connector running.
    pub bench: Bench,
    /// The device.
    pub device: Device,
}

/// How a new device is made.
pub struct Making<'a> {
    /// Image profile.
    pub profile: &'a str,
    /// Serial number.
    pub serial: &'a str,
    /// Let devices with this image enrol.
    pub publish: bool,
}

/// Makes a device on a new bench, and registers it there.
pub fn make(paths: &Paths, folder: &Path, making: &Making<'_>) -> Result<Ready> {
    host::provide(paths)?;
    image::build(paths, &[making.profile])?;
    let workshop = Workshop::open(&paths.build, &binaries::cloud(paths)?)?;
    let bench = step("start the connector, make and sign the site configuration", || {
        Bench::fresh(&workshop, folder, Ports::preferred()?)
    })?;
    let device = step("make the device: TPM, firmware with enrolled keys, disk", || {
        bench.make_device(ON_BENCH, making.profile, making.serial)
    })?;
    step("register the device and the release with the connector", || {
        if making.publish {
            bench.publish(making.profile)?;
        }
        bench.register(&device)
    })?;
    Ok(Ready { bench, device })
}

/// Takes the device that was made on a bench before.
pub fn take(paths: &Paths, folder: &Path) -> Result<Ready> {
    host::provide(paths)?;
    Tools::provide(paths)?;
    let workshop = Workshop::open(&paths.build, &binaries::cloud(paths)?)?;
    let bench = step("start the connector", || Bench::open(&workshop, folder))?;
    let device = bench.open_device(ON_BENCH)?;
    Ok(Ready { bench, device })
}

fn start(paths: &Paths, start: &Start) -> Result<()> {
    let folder = folder(paths, &start.name)?;
    ensure_off(&folder, &start.name)?;
    let Ready { mut bench, device } = if start.fresh || !Bench::is_at(&folder) {
        let profile = start.profile.as_deref().unwrap_or("release");
        let serial = start.serial.clone().unwrap_or_else(|| serial_of(&start.name));
        let publish = start.publish || profile == "release";
        make(paths, &folder, &Making { profile, serial: &serial, publish })?
    } else {
        ensure!(
            start.profile.is_none() && start.serial.is_none(),
            "device {} is there already; --fresh makes it anew",
            start.name
        );
        take(paths, &folder)?
    };
    println!("{}", ways_in(&bench, &start.name));
    println!("\n{KEYS}\n");
    let stop = Stop::on_signals()?;
    let mut session = Session::new(device.power_on(PowerOn::default())?, &folder, stop)?;
    let wish = at_terminal(&mut session)?;
    if matches!(wish, Wish::Stop) {
        println!("shutting down ...");
    }
    println!("{}", session.end(wish)?);
    bench.stop_cloud()
}

/// The Edge ID of a device that got none from its maker.
pub fn serial_of(name: &str) -> String {
    format!("HF-{}-0001", name.to_ascii_uppercase())
}

/// What a person can do while the device is on.
pub fn ways_in(bench: &Bench, name: &str) -> String {
    let data = bench.cloud().data().display();
    let program = bench.workshop().cloud_program().display();
    format!(
        "\
Ways in, from another terminal:
  console           cargo xtask device attach {name}
  power, USB        cargo xtask device --help
  connector         {program} --data {data} device list
  management API    {}
    API key in      {data}/admin.key
    trust anchor    {data}/ca/root.crt",
        bench.ports().management_url()
    )
}

/// Shows the console and sends the keys, until somebody ends the device.
fn at_terminal(session: &mut Session) -> Result<Wish> {
    let output = session.console().listen();
    let mut terminal = Terminal::enter()?;
    let mut has_input = true;
    loop {
        while let Ok(bytes) = output.try_recv() {
            terminal.show(&bytes)?;
        }
        if let Some(wish) = session.round()? {
            return Ok(wish);
        }
        if !has_input {
            thread::sleep(ROUND);
            continue;
        }
        let (typed, key) = match terminal.typed(ROUND)? {
            Typed::Nothing => continue,
            Typed::Bytes(bytes) => (bytes, None),
            Typed::Key { before, key } => (before, Some(key)),
            Typed::Closed => {
                has_input = false;
                continue;
            }
        };
        session.console().send(&typed)?;
        match key {
            None => {}
            Some(b'q') => return Ok(Wish::Stop),
            Some(b'c') => return Ok(Wish::Cut { call: None, seed: None }),
            Some(b'r') => session.running().reset()?,
            Some(b'p') => session.running().qmp().system_powerdown()?,
            Some(_) => terminal.show(format!("\n{KEYS}\n").replace('\n', "\r\n").as_bytes())?,
        }
    }
}

fn list(paths: &Paths) {
    let folder = paths.build.join("devices");
    let mut names: Vec<String> = match fs::read_dir(&folder) {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| Bench::is_at(&folder.join(name)))
            .collect(),
        Err(_) => Vec::new(),
    };
    if names.is_empty() {
        println!("There is no device yet; `cargo xtask device start NAME` makes one.");
        return;
    }
    names.sort();
    println!("{:<20}{:<28}STATE", "NAME", "EDGE ID");
    for name in names {
        let bench = folder.join(&name);
        let serial = fs::read(bench.join(ON_BENCH).join("device.json"))
            .ok()
            .and_then(|text| serde_json::from_slice::<Value>(&text).ok())
            .and_then(|device| Some(device["system"]["serial"].as_str()?.to_owned()))
            .unwrap_or_else(|| "-".to_owned());
        let state = control::running(&bench)
            .map_or_else(|| "off".to_owned(), |pid| format!("on (process {pid})"));
        println!("{name:<20}{serial:<28}{state}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folders_and_parts_of_serial_numbers() {
        let paths = Paths::new();
        assert!(folder(&paths, "edge-1").unwrap().ends_with("devices/edge-1"));
        for bad in ["", "..", "a/b", "Edge", "a b", &"x".repeat(33)] {
            assert!(folder(&paths, bad).is_err(), "{bad}");
        }
        assert_eq!(serial_of("demo"), "HF-DEMO-0001");
    }
}
