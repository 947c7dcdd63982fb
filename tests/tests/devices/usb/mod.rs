//! USB on booted devices. Whether something can be used is read from where the kernel's drivers show
//! it, which are block devices, input devices, names in sysfs; and from what the device that is plugged
//! in counts itself: bytes that were exchanged with it.

mod gadgets;
mod ports;

use anyhow::{Context, Result};
use holdfast_qemu::Running;
use holdfast_tests::Bench;
use serde_json::Value;
use std::time::{Duration, Instant};

use crate::support::shell::{must, run, until};

/// Longest wait for records on their way to the cloud.
const UPLOAD: Duration = Duration::from_secs(180);

/// A disk or a keyboard that a driver has.
const DISK: &str = "ls /sys/block | grep -q ^sd";
const KEYBOARD: &str = "grep -q 'QEMU USB Keyboard' /proc/bus/input/devices";

/// The kernel knows a device of this name.
fn is_there(name: &str) -> String {
    format!("[ -e /sys/bus/usb/devices/{name} ]")
}

/// Waits until the daemon has decided about a device and nothing can use it.
fn stays_out(running: &Running, step: &str, name: &str, use_: &str) -> Result<()> {
    until(running, &format!("{step}-there"), &is_there(name))?;
    let decided = format!("holdfast usb list --json | grep -q '\"device\":\"{name}\"'");
    until(running, &format!("{step}-known"), &decided)?;
    // A driver that had it would have shown it by now.
    let out =
        format!("sleep 2; ! {use_} && [ \"$(cat /sys/bus/usb/devices/{name}/authorized)\" = 0 ]");
    let done = run(running, &format!("{step}-out"), &out)?;
    anyhow::ensure!(done.ends_with(": 0"), "{name} can be used");
    Ok(())
}

/// Nothing was exchanged with the memory stick that QEMU calls `id` since it was plugged in.
fn never_used(running: &Running, id: &str) -> Result<()> {
    let bytes = running.qmp().storage_traffic(id)?;
    anyhow::ensure!(bytes == 0, "{id} is out, and {bytes} bytes were exchanged with it");
    Ok(())
}

/// Does something during which nothing is exchanged with the memory stick that QEMU calls `id`.
fn without_traffic(running: &Running, id: &str, step: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = running.qmp().storage_traffic(id)?;
    step()?;
    let after = running.qmp().storage_traffic(id)?;
    anyhow::ensure!(after == before, "{id} is out: {before} bytes before, now {after}");
    Ok(())
}

/// Something was exchanged with the memory stick that QEMU calls `id`.
fn has_traffic(running: &Running, id: &str) -> Result<()> {
    let bytes = running.qmp().storage_traffic(id)?;
    anyhow::ensure!(bytes > 0, "nothing was read from {id}, which is in");
    Ok(())
}

/// Records of the device in the cloud, once one fits.
fn recorded(
    bench: &Bench,
    running: &Running,
    serial: &str,
    what: &str,
    fits: impl Fn(&Value) -> bool,
) -> Result<Vec<Value>> {
    let audit = "org.holdfast.Audit1 /org/holdfast/Audit1 org.holdfast.Audit1";
    must(running, "flush", &format!("busctl call {audit} Flush"))?;
    let begun = Instant::now();
    loop {
        let arguments = ["device-audit", "search", "--device", serial, "--limit", "100000"];
        let found = bench.cloud().json(&arguments)?;
        let records = found["items"].as_array().cloned().context("the search has no items")?;
        if records.iter().any(&fits) {
            return Ok(records);
        }
        if begun.elapsed() > UPLOAD {
            let usb: Vec<_> = records
                .iter()
                .filter(|record| record["action"].to_string().contains("usb"))
                .map(|record| format!("{} {}", record["action"], record["payload"]["target"]))
                .collect();
            anyhow::bail!("no record of {what} in the cloud; there are {usb:#?}");
        }
        std::thread::sleep(Duration::from_secs(2));
    }
}
