//! `cargo xtask test`: everything that must hold, quick checks first.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::paths::Paths;
use crate::process::{self, step};
use crate::tools::Tools;
use crate::{binaries, host, image, python};

/// How much is tested.
#[derive(Args)]
pub struct Options {
    /// Leave images and booted devices out
    #[arg(long, conflicts_with = "full")]
    fast: bool,
    /// Add the long matrices
    #[arg(long)]
    full: bool,
}

/// A program of the Rust ecosystem in the version that this project was tested with.
struct Program {
    package: &'static str,
    version: &'static str,
    /// Of `cargo install`.
    options: &'static [&'static str],
}

/// It runs for a second: optimising it takes two minutes more than building it.
const DENY: Program =
    Program { package: "cargo-deny", version: "0.20.2", options: &["--profile", "dev"] };
const NEXTEST: Program = Program {
    package: "cargo-nextest",
    version: "0.9.128",
    options: &["--no-default-features", "--features", "default-no-update"],
};

/// Tests that need no image.
const WITHOUT_DEVICES: &str = "not package(holdfast-tests) or binary(interoperability)";

/// A test run that failed and has said so itself, in its own summary.
#[derive(Debug)]
pub struct TestsFailed;

impl std::fmt::Display for TestsFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("tests failed")
    }
}

impl std::error::Error for TestsFailed {}

/// Runs the checks in order; the first that fails ends it.
pub fn run(paths: &Paths, options: &Options) -> Result<()> {
    host::provide(paths)?;
    let run = Run { paths };
    run.quietly("check the formatting", &["fmt", "--all", "--check"])?;
    run.quietly(
        "check the code with clippy",
        &["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"],
    )?;
    let deny = run.provide(&DENY)?;
    step("check licences, bans and sources of all dependencies", || {
        let mut command = Command::new(&deny);
        // The database of advisories is left out: it cannot be had offline.
        command.args(["--locked", "check", "bans", "licenses", "sources"]);
        run.finish(command, "deny")
    })?;
    let nextest = run.provide(&NEXTEST)?;
    let tools = Tools::provide(paths)?;
    let python = python::provide(paths)?;
    let tests = |arguments: &[&str]| {
        let mut command = Command::new(&nextest);
        command
            .args(["nextest", "run", "--locked"])
            .args(arguments)
            .env("HOLDFAST_REQUIRE_TOOLS", "1")
            .env("HOLDFAST_TOOLS_TREE", tools.tree())
            .env("HOLDFAST_PYTHON", &python)
            .env("HOLDFAST_BUILD", &paths.build);
        if options.full {
            command.args(["--run-ignored", "all"]);
        }
        command
    };
    eprintln!("  unit tests, tests with a software TPM, and against foreign programs:");
    run.shown(tests(&["--workspace", "--filterset", WITHOUT_DEVICES]))?;
    if options.fast {
        return Ok(());
    }
    image::build(paths, &image::TESTED)?;
    let cloud = binaries::cloud_under_test(paths)?;
    eprintln!("  tests on booted devices:");
    // The same features as before: nothing is built anew.
    let filter = format!("not ({WITHOUT_DEVICES})");
    let mut devices = tests(&["--workspace", "--test-threads", "1", "--filterset", &filter]);
    devices.env("HOLDFAST_CLOUD_PROGRAM", cloud);
    run.shown(devices)
}

struct Run<'a> {
    paths: &'a Paths,
}

impl Run<'_> {
    fn quietly(&self, what: &str, arguments: &[&str]) -> Result<()> {
        step(what, || {
            let mut command = Command::new(cargo());
            command.args(arguments);
            self.finish(command, arguments[0])
        })
    }

    fn finish(&self, mut command: Command, log: &str) -> Result<()> {
        command
            .current_dir(&self.paths.repository)
            .env("CARGO_TARGET_DIR", &self.paths.target)
            .env("CARGO_TERM_COLOR", "never");
        process::run(&mut command, &self.paths.build.join(format!("log/{log}.log")))
    }

    /// Runs tests with their output in the terminal.
    fn shown(&self, mut command: Command) -> Result<()> {
        let status = command
            .current_dir(&self.paths.repository)
            .env("CARGO_TARGET_DIR", &self.paths.target)
            .env("CARGO", cargo())
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("start {}", process::line(&command)))?;
        if status.success() { Ok(()) } else { bail!(TestsFailed) }
    }

    /// The host's own program where it has one that runs; otherwise it is built in the build folder.
    fn provide(&self, program: &Program) -> Result<PathBuf> {
        let own = PathBuf::from(program.package);
        if process::output(Command::new(&own).args(version_arguments(program))).is_ok() {
            return Ok(own);
        }
        let root = self.paths.build.join("tools/cargo");
        let path = root.join("bin").join(program.package);
        let version = Command::new(&path).args(version_arguments(program)).output();
        let is_there = version.is_ok_and(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.split_whitespace().any(|word| word == program.version)
        });
        if !is_there {
            step(&format!("build {} {}", program.package, program.version), || {
                let mut command = Command::new(cargo());
                command
                    .args(["install", "--locked", "--force", "--root"])
                    .arg(&root)
                    .args(["--version", &format!("={}", program.version)])
                    .args(program.options)
                    .arg(program.package);
                // Its own target folder: it would be built anew with every change of ours.
                command.env_remove("CARGO_TARGET_DIR").env("CARGO_PROFILE_DEV_DEBUG", "0");
                process::run(&mut command, &self.paths.build.join("log/cargo-install.log"))
            })?;
        }
        Ok(path)
    }
}

/// Programs that are run as `cargo NAME` take that name as their first argument.
fn version_arguments(program: &Program) -> Vec<&'static str> {
    let verb = program.package.trim_start_matches("cargo-");
    if verb == "nextest" { vec![verb, "--version"] } else { vec!["--version"] }
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
