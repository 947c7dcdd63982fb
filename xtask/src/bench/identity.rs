//! `cargo xtask bench identity`: builds the programs and runs the bench in `tests/benches`.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths::Paths;
use crate::{binaries, host, process};

/// Measures the server and the enroller.
pub fn run(paths: &Paths) -> Result<()> {
    host::provide(paths)?;
    let cloud = binaries::cloud(paths)?;
    let enroller = binaries::device(paths)?.join("holdfast-enroll");
    let folder = paths.build.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut bench = Command::new(cargo);
    // The clients are not what is measured: they are built as the tests are, all in one.
    bench
        .args(["bench", "--quiet", "--locked", "--profile", "dev", "--workspace"])
        .args(["--bench", "identity", "--", "--cloud"])
        .arg(cloud)
        .arg("--enroller")
        .arg(enroller)
        .arg("--output")
        .arg(folder.join("identity.json"))
        .env("CARGO_TARGET_DIR", &paths.target)
        .current_dir(&paths.repository);
    let status = bench.status().with_context(|| format!("start {}", process::line(&bench)))?;
    if !status.success() {
        bail!("the bench ended with {status}");
    }
    Ok(())
}
