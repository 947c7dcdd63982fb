//! `cargo xtask bench`: the figures in `docs/measurements.md`, raw in `build/bench/`.

mod audit;
mod boot;
mod fuzz;
mod identity;
mod shell;
mod usb;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::paths::Paths;
use crate::process;

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
    /// The USB daemon beside USBGuard in one device: how long a device waits until it is let in, and
    /// memory; thousands of devices that come and go; on this machine, evaluation of rules
    Usb(usb::Options),
    /// Every fuzzer for some time; a finding is an error
    Fuzz(fuzz::Options),
}

/// Measures an area.
pub fn run(paths: &Paths, area: &Area) -> Result<()> {
    match area {
        Area::Boot => boot::run(paths),
        Area::Identity => identity::run(paths),
        Area::Audit(options) => audit::run(paths, options),
        Area::Usb(options) => usb::run(paths, options),
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

/// Builds a bench with a profile, runs it, and reads the JSON that it wrote.
fn cargo_bench<T: DeserializeOwned>(
    paths: &Paths,
    [profile, package, name]: [&str; 3],
    output: &Path,
) -> Result<T> {
    let folder = output.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut bench = Command::new(cargo);
    bench
        .args(["bench", "--quiet", "--locked", "--profile", profile, "-p", package])
        .args(["--bench", name, "--", "--output"])
        .arg(output)
        .env("CARGO_TARGET_DIR", &paths.target)
        .current_dir(&paths.repository);
    let done = bench.output().with_context(|| format!("start {}", process::line(&bench)))?;
    if !done.status.success() {
        bail!(
            "{} ended with {}: {}",
            process::line(&bench),
            done.status,
            String::from_utf8_lossy(&done.stderr)
        );
    }
    let json = fs::read(output).with_context(|| format!("read {}", output.display()))?;
    serde_json::from_slice(&json).with_context(|| format!("parse {}", output.display()))
}
