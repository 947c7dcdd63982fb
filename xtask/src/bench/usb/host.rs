//! What is measured on this machine.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::bench::cargo_bench;
use crate::paths::Paths;

/// With so many rules.
#[derive(Serialize, Deserialize)]
pub struct Size {
    /// Rules, of which the last one applies.
    pub rules: u64,
    /// All of them held against a device.
    pub evaluation: Quantiles,
    /// From the event to the write into files that stand for sysfs.
    pub event_to_write: Quantiles,
}

/// Nanoseconds.
#[derive(Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
}

/// Builds the bench and runs it.
pub fn run(paths: &Paths) -> Result<Vec<Size>> {
    eprintln!("  rules, and from the event to the write ...");
    let output = paths.build.join("bench/usb-decision.json");
    cargo_bench(paths, ["release", "holdfast-usb", "decision"], &output)
}
