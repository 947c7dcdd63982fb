//! What is measured on this machine.

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use crate::bench::cargo_bench;
use crate::paths::Paths;

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
    let pipeline = folder.join("audit-pipeline.json");
    let for_speed = folder.join("audit-pipeline-for-speed.json");
    let ingest = folder.join("audit-ingest.json");
    eprintln!("  into the log, and its verification ...");
    let pipeline = cargo_bench(paths, ["release", "holdfast-audit", "pipeline"], &pipeline)?;
    let for_speed = cargo_bench(paths, ["cloud", "holdfast-audit", "pipeline"], &for_speed)?;
    eprintln!("  into the connector ...");
    let ingest = cargo_bench(paths, ["cloud", "holdfast-cloud", "ingest"], &ingest)?;
    Ok(Host { pipeline, pipeline_for_speed: for_speed, ingest })
}
