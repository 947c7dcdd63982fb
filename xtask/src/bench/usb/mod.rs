//! `cargo xtask bench usb`: the USB daemon beside USBGuard.

mod guest;
mod host;
mod report;

use std::fs;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::paths::Paths;

/// How much is measured.
#[derive(Args)]
pub struct Options {
    /// Times that a device is plugged in for each daemon's latency
    #[arg(long, default_value_t = 1000)]
    plugs: u64,
    /// Times that devices are plugged in, half of them such that are not to be let in
    #[arg(long, default_value_t = 10_000)]
    cycles: u64,
    /// Only on this machine, without a device
    #[arg(long)]
    host_only: bool,
    /// Only on a device
    #[arg(long, conflicts_with = "host_only")]
    device_only: bool,
}

/// Measures.
pub fn run(paths: &Paths, options: &Options) -> Result<()> {
    let host = if options.device_only { None } else { Some(host::run(paths)?) };
    let guest = if options.host_only { None } else { Some(guest::run(paths, options)?) };
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let document = json!({
        "command": "cargo xtask bench usb",
        "plugs": options.plugs,
        "cycles": options.cycles,
        "load": load.trim(),
        "device": guest,
        "host": host,
    });
    let raw = super::write_raw(paths, "usb.json", &document)?;
    print!("{}", report::text(guest.as_ref(), host.as_deref()));
    println!("\nRaw figures: {}", raw.display());
    Ok(())
}
