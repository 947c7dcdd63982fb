//! `cargo xtask bench`: the figures in `docs/measurements.md`, raw in `build/bench/`.

mod audit;
mod boot;
mod fuzz;
mod identity;
mod shell;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde::Serialize;

use crate::paths::Paths;

/// What can be measured.
#[derive(Subcommand)]
pub enum Area {
    /// Start to active with its phases, first and later boots; memory of the daemons; sizes
    Boot,
    /// Server's processor time and memory per enrolment, handshake, connection and request, beside
    /// OpenSSL's; the device's TPM time, memory and processor time
    Identity,
    /// The audit daemon beside auditd and laurel in one device: processor time, memory, losses; how
    /// long a durable record takes; a start with a full spool; on this machine, records per second
    Audit(audit::Options),
    /// Every fuzzer for some time; a finding is an error
    Fuzz(fuzz::Options),
}

/// Measures an area.
pub fn run(paths: &Paths, area: &Area) -> Result<()> {
    match area {
        Area::Boot => boot::run(paths),
        Area::Identity => identity::run(paths),
        Area::Audit(options) => audit::run(paths, options),
        Area::Fuzz(options) => fuzz::run(paths, options),
    }
}

/// Writes raw figures.
fn write_raw(paths: &Paths, name: &str, figures: &impl Serialize) -> Result<PathBuf> {
    let folder = paths.build.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let raw = folder.join(name);
    fs::write(&raw, serde_json::to_vec_pretty(figures)?)
        .with_context(|| format!("write {}", raw.display()))?;
    Ok(raw)
}
