//! `cargo xtask bench audit`: the audit daemon beside those that a user would pick instead.

mod guest;
mod host;
mod peer;
mod report;

use std::fs;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::paths::Paths;

/// How much is measured.
#[derive(Args)]
pub struct Options {
    /// Programs that are started for each figure of processor time
    #[arg(long, default_value_t = 2000)]
    programs: u64,
    /// Rounds; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: u32,
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
        "command": "cargo xtask bench audit",
        "programs": options.programs,
        "rounds": options.rounds,
        "load": load.trim(),
        "device": guest,
        "host": host,
    });
    let raw = super::write_raw(paths, "audit.json", &document)?;
    print!("{}", report::text(guest.as_ref(), host.as_ref()));
    println!("\nRaw figures: {}", raw.display());
    Ok(())
}
