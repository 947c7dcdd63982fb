//! What is measured on this machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;

use crate::paths::Paths;
use crate::process;

/// All of it.
#[derive(Serialize)]
pub struct Host {
    /// Into the log, and its verification; with the device's profile, made for size.
    pub pipeline: Value,
    /// The same with the cloud's profile, made for speed, as auditors verify.
    pub pipeline_for_speed: Value,
    /// Into the connector; with the cloud's profile.
    pub ingest: Value,
}

/// Builds the benches and runs them.
pub fn run(paths: &Paths) -> Result<Host> {
    let folder = paths.build.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let pipeline = folder.join("audit-pipeline.json");
    let for_speed = folder.join("audit-pipeline-for-speed.json");
    let ingest = folder.join("audit-ingest.json");
    eprintln!("  into the log, and its verification ...");
    bench(paths, ["release", "holdfast-audit", "pipeline"], &pipeline)?;
    bench(paths, ["cloud", "holdfast-audit", "pipeline"], &for_speed)?;
    eprintln!("  into the connector ...");
    bench(paths, ["cloud", "holdfast-cloud", "ingest"], &ingest)?;
    Ok(Host {
        pipeline: read(&pipeline)?,
        pipeline_for_speed: read(&for_speed)?,
        ingest: read(&ingest)?,
    })
}

fn bench(paths: &Paths, [profile, package, name]: [&str; 3], output: &Path) -> Result<()> {
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
    Ok(())
}

fn read(path: &Path) -> Result<Value> {
    let json = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&json).with_context(|| format!("parse {}", path.display()))
}
