//! Running other programs, with errors that name them and steps that show progress.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

/// Runs a program quietly; where it fails, the error holds the end of what it printed, and the log
/// keeps all of it.
pub fn run(command: &mut Command, log: &Path) -> Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("open log {}", log.display()))?;
    writeln!(file, "$ {}", line(command))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("start {}", line(command)))?;
    if !status.success() {
        let text = fs::read_to_string(log).unwrap_or_default();
        let tail: Vec<&str> = text.lines().rev().take(25).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!(
            "{} ended with {status}; end of {}:\n{}",
            line(command),
            log.display(),
            tail.join("\n")
        );
    }
    Ok(())
}

/// Runs a program and returns what it printed on standard output.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", line(command)))?;
    if !done.status.success() {
        bail!(
            "{} ended with {}: {}",
            line(command),
            done.status,
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(done.stdout)
}

/// A command as a person would type it.
pub fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|a| a.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Does a step of the work and says how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprint!("  {what} ...");
    let _ = std::io::stderr().flush();
    let start = Instant::now();
    let result = work();
    let mark = if result.is_ok() { "done" } else { "failed" };
    eprintln!(" {mark} ({:.1} s)", start.elapsed().as_secs_f32());
    result.with_context(|| what.to_owned())
}
