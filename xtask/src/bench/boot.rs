//! `cargo xtask bench boot`: from power on to active.

use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use holdfast_qemu::{Device, PowerOn};
use holdfast_tests::timeline::{self, Moment};
use serde::Serialize;
use serde_json::json;

use super::shell::Shell;
use crate::device::{self, Making, Ready};
use crate::image::Sizes;
use crate::paths::Paths;

const NAME: &str = "bench";
/// Its root shell on the console is how a device is looked into; all else is as in a release.
const PROFILE: &str = "test";
const PATIENCE: Duration = Duration::from_secs(600);
/// Time in which a started system comes to rest.
const REST: Duration = Duration::from_secs(20);

#[derive(Serialize)]
struct Boot {
    timeline: Vec<Moment>,
    cpu_seconds: f64,
    systemd: String,
    critical_chain: String,
    slowest_units: String,
    daemons: Vec<Daemon>,
}

#[derive(Serialize)]
struct Daemon {
    name: String,
    pss_kib: u64,
}

/// Boots a device twice and reports.
pub fn run(paths: &Paths) -> Result<()> {
    let folder = device::folder(paths, NAME)?;
    device::ensure_off(&folder, NAME)?;
    let serial = device::serial_of(NAME);
    let making = Making { profile: PROFILE, serial: &serial, publish: true };
    let Ready { mut bench, device } = device::make(paths, &folder, &making)?;
    let (first, device) = measure(device, "first boot")?;
    let (later, _) = measure(device, "later boot")?;
    bench.stop_cloud()?;
    let sizes: Sizes =
        serde_json::from_slice(&fs::read(paths.image("release").join("sizes.json"))?)?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let document = json!({
        "command": "cargo xtask bench boot",
        "load": load.trim(),
        "sizes": sizes,
        "first": first,
        "later": later,
    });
    let raw = super::write_raw(paths, "boot.json", &document)?;
    print!("{}", report(&first, &later, &sizes));
    println!("\nRaw figures: {}", raw.display());
    Ok(())
}

fn measure(device: Device, what: &str) -> Result<(Boot, Device)> {
    eprintln!("  {what} ...");
    let running = device.power_on(PowerOn::default())?;
    let begun = Instant::now();
    let timeline = loop {
        let lines = running.console().lines();
        let moments = timeline::read(&lines);
        if moments.last().is_some_and(|m| m.event == timeline::ACTIVE) {
            break moments;
        }
        if let Some(line) = timeline::trouble(&lines) {
            bail!("{what}: its console says: {}", line.text.trim());
        }
        if begun.elapsed() > PATIENCE {
            bail!("{what}: not active after {} seconds", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    };
    let cpu_seconds = running.usage().cpu.total().as_secs_f64();
    thread::sleep(REST);
    let mut shell = Shell::new(&running);
    let boot = Boot {
        timeline,
        cpu_seconds,
        systemd: shell.run("systemd-analyze time")?,
        critical_chain: shell.run("systemd-analyze critical-chain --no-pager")?,
        slowest_units: shell.run("systemd-analyze blame --no-pager | head -n 15")?,
        daemons: parse_daemons(&shell.run(
            "for p in /proc/[0-9]*; do read c < $p/comm; case $c in holdfast*|systemd*|dbus-broker*) \
             echo \"$c $(grep ^Pss: $p/smaps_rollup | tr -dc 0-9)\";; esac; done",
        )?),
    };
    let (device, _) = running.shut_down(Duration::from_secs(120))?;
    Ok((boot, device))
}

fn parse_daemons(text: &str) -> Vec<Daemon> {
    let mut daemons: Vec<Daemon> = text
        .lines()
        .filter_map(|l| l.rsplit_once(' '))
        .filter_map(|(name, size)| Some(Daemon { name: name.into(), pss_kib: size.parse().ok()? }))
        .collect();
    daemons.sort_by(|a, b| a.name.cmp(&b.name));
    daemons
}

fn report(first: &Boot, later: &Boot, sizes: &Sizes) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "| event | first boot, s | later boot, s |\n|---|---:|---:|");
    for moment in &first.timeline {
        let other = later.timeline.iter().find(|m| m.event == moment.event);
        let other = other.map_or_else(|| "-".into(), |m| format!("{:.1}", m.seconds));
        let _ = writeln!(text, "| {} | {:.1} | {other} |", moment.event, moment.seconds);
    }
    let _ = writeln!(
        text,
        "| QEMU's CPU seconds | {:.1} | {:.1} |",
        first.cpu_seconds, later.cpu_seconds
    );
    let _ = writeln!(text, "\n| part | MB |\n|---|---:|");
    let programs: u64 = sizes.programs.values().sum();
    for (name, size) in [
        ("root file system", sizes.root),
        ("verity tree", sizes.verity),
        ("UKI", sizes.uki),
        ("initrd in it", sizes.initrd),
        ("our programs together", programs),
    ] {
        let tenths = size / 100_000;
        let _ = writeln!(text, "| {name} | {}.{} |", tenths / 10, tenths % 10);
    }
    let _ = writeln!(text, "\n| process | PSS, KiB |\n|---|---:|");
    for daemon in &later.daemons {
        let _ = writeln!(text, "| {} | {} |", daemon.name, daemon.pss_kib);
    }
    let _ = writeln!(text, "\n{}\n\n{}", later.systemd, later.critical_chain);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_read_with_their_memory() {
        let daemons = parse_daemons("systemd 9000\nholdfast-enroll 5120\nbroken\nname x\n");
        let read: Vec<_> = daemons.iter().map(|d| (d.name.as_str(), d.pss_kib)).collect();
        assert_eq!(read, [("holdfast-enroll", 5120), ("systemd", 9000)]);
    }
}
