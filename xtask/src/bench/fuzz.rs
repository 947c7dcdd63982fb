//! `cargo xtask bench fuzz`: every fuzzer for some time, guided by coverage.
//!
//! The compiler's flags for coverage are stable ones; only the sanitizers, which safe code has
//! little need of, would ask for a nightly compiler.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::paths::Paths;
use crate::process::{self, step};

/// How long.
#[derive(Args)]
pub struct Options {
    /// Minutes per fuzzer; half an hour for a figure of the documentation
    #[arg(long, default_value_t = 1)]
    minutes: u64,
}

/// Packages of fuzzers, each with its fuzzers.
const PACKAGES: &[(&str, &[&str])] = &[
    (
        "components/lib/attestation",
        &[
            "certificate_request",
            "ek_certificate",
            "est_body",
            "evidence",
            "nonce_body",
            "tpm_structures",
        ],
    ),
    (
        "components/lib/audit-log",
        &["audit_checkpoint", "audit_export", "audit_frames", "kernel_messages"],
    ),
    ("components/device/usb-blocker", &["uevents"]),
    ("components/lib/policy-document", &["policy_document"]),
    ("components/lib/site", &["site"]),
    ("components/lib/usb-rules", &["usb_descriptors", "usb_rules"]),
];

/// What libFuzzer's runtime asks of the compiler, as cargo-fuzz gives it.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";
/// Named, so that build scripts and macros are built without the flags.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Seconds that one input may take.
const SLOW: u32 = 10;
/// The longest input, above every limit of the parsers but the body's.
const LONGEST: u32 = 48 * 1024;

struct Fuzzer {
    name: &'static str,
    program: PathBuf,
    /// Inputs that are kept in the repository.
    seeds: Vec<PathBuf>,
}

/// What came of a fuzzer.
#[derive(Serialize)]
struct Outcome {
    fuzzer: &'static str,
    minutes: u64,
    executions: u64,
    coverage: u64,
    inputs_of_interest: u64,
    finding: Option<PathBuf>,
}

/// Runs every fuzzer, as many at once as there are processors.
pub fn run(paths: &Paths, options: &Options) -> Result<()> {
    let mut fuzzers = Vec::new();
    for (package, names) in PACKAGES {
        let package = paths.repository.join(package);
        step(&format!("build the fuzzers of {}", package.display()), || build(paths, &package))?;
        fuzzers.extend(names.iter().map(|name| {
            Fuzzer {
                name,
                program: paths.build.join("fuzz/target").join(TARGET).join("release").join(name),
                seeds: [package.join("fuzz/corpus").join(name), package.join("tests/data")]
                    .into_iter()
                    .filter(|folder| folder.is_dir())
                    .collect(),
            }
        }));
    }
    let outcomes = run_all(paths, options, fuzzers)?;
    let raw = super::write_raw(
        paths,
        "fuzz.json",
        &json!({
            "command": format!("cargo xtask bench fuzz --minutes {}", options.minutes),
            "fuzzers": outcomes,
        }),
    )?;
    print!("{}", report(&outcomes));
    println!("\nRaw figures: {}", raw.display());
    let findings: Vec<_> = outcomes.iter().filter_map(|o| o.finding.as_ref()).collect();
    match findings.first() {
        None => Ok(()),
        Some(first) => bail!("{} findings; the first: {}", findings.len(), first.display()),
    }
}

/// Builds the fuzzers of a package against the versions that the workspace has locked.
fn build(paths: &Paths, package: &Path) -> Result<()> {
    let folder = package.join("fuzz");
    fs::copy(paths.repository.join("Cargo.lock"), folder.join("Cargo.lock"))
        .with_context(|| format!("write {}", folder.join("Cargo.lock").display()))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--bins", "--target", TARGET, "--color=never"])
        .env("CARGO_TARGET_DIR", paths.build.join("fuzz/target"))
        .env("RUSTFLAGS", FLAGS)
        .current_dir(&folder);
    process::run(&mut command, &paths.build.join("log/fuzz-build.log"))
}

fn run_all(paths: &Paths, options: &Options, fuzzers: Vec<Fuzzer>) -> Result<Vec<Outcome>> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let waiting = Mutex::new(fuzzers.into_iter());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(fuzzer) = lock(&waiting).next() {
                    let outcome = run_one(paths, options, &fuzzer);
                    lock(&done).push(outcome);
                }
            });
        }
    });
    let mut outcomes: Vec<Outcome> = lock(&done).drain(..).collect::<Result<_>>()?;
    outcomes.sort_by_key(|outcome| outcome.fuzzer);
    Ok(outcomes)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn run_one(paths: &Paths, options: &Options, fuzzer: &Fuzzer) -> Result<Outcome> {
    let name = fuzzer.name;
    eprintln!("  {name} ({} min) ...", options.minutes);
    let corpus = paths.build.join("fuzz/corpus").join(name);
    let findings = paths.build.join("fuzz/findings").join(name);
    let _ = fs::remove_dir_all(&findings);
    for folder in [&corpus, &findings] {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let log = paths.build.join(format!("log/fuzz-{name}.log"));
    let output = fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let status = Command::new(&fuzzer.program)
        .arg(format!("-max_total_time={}", options.minutes * 60))
        .args([format!("-timeout={SLOW}"), format!("-max_len={LONGEST}")])
        .args(["-print_final_stats=1", "-rss_limit_mb=2048"])
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg(&corpus)
        .args(&fuzzer.seeds)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .status()
        .with_context(|| format!("start {}", fuzzer.program.display()))?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let finding = fs::read_dir(&findings)?.flatten().map(|entry| entry.path()).next();
    if !status.success() && finding.is_none() {
        bail!("the fuzzer {name} ended with {status}; its log: {}", log.display());
    }
    Ok(Outcome {
        fuzzer: name,
        minutes: options.minutes,
        executions: final_statistic(&text, "number_of_executed_units"),
        coverage: last_number(&text, " cov: "),
        inputs_of_interest: last_number(&text, " corp: "),
        finding,
    })
}

/// A number that libFuzzer prints at its end.
fn final_statistic(log: &str, name: &str) -> u64 {
    let prefix = format!("stat::{name}:");
    let number = log.lines().rev().find_map(|line| line.strip_prefix(&prefix));
    number.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// A number of the last line of progress.
fn last_number(log: &str, name: &str) -> u64 {
    let digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok()
    };
    let after = log.lines().rev().find_map(|line| line.split_once(name));
    after.and_then(|(_, text)| digits(text)).unwrap_or(0)
}

fn report(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| fuzzer | minutes | executions | code points covered | inputs kept | findings |\n\
         |---|---:|---:|---:|---:|---|\n",
    );
    for outcome in outcomes {
        let Outcome { fuzzer, minutes, executions, coverage, inputs_of_interest, finding } =
            outcome;
        let finding = finding.as_ref().map_or_else(|| "none".into(), |f| f.display().to_string());
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| `{fuzzer}` | {minutes} | {executions} | {coverage} | {inputs_of_interest} | {finding} |"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_fuzzers_log() {
        let log = "#2\tINITED cov: 88 ft: 89 corp: 1/1b exec/s: 0 rss: 31Mb\n\
                   #1024\tNEW    cov: 120 ft: 301 corp: 14/2Kb lim: 4 exec/s: 0\n\
                   Done 5000 runs in 61 second(s)\nstat::number_of_executed_units: 5000\n";
        assert_eq!(final_statistic(log, "number_of_executed_units"), 5000);
        assert_eq!((last_number(log, " cov: "), last_number(log, " corp: ")), (120, 14));
        assert_eq!((final_statistic("", "x"), last_number("cov", " cov: ")), (0, 0));
    }

    #[test]
    fn every_fuzzer_of_the_packages_is_run() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (package, names) in PACKAGES {
            let folder = repository.join(package).join("fuzz/fuzz_targets");
            let mut files: Vec<String> = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().into())
                .collect();
            files.sort();
            assert_eq!(files, *names, "{package}");
        }
    }
}
