//! Running of the system's own programs.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    process::{Command, ExitStatus, Output, Stdio},
};

use zeroize::Zeroizing;

use crate::console::note;

/// A program that could not be run or did not succeed.
#[derive(Debug)]
pub struct ProgramError {
    name: String,
    problem: String,
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.problem)
    }
}

/// Runs a program that must succeed and prints a secret. What it writes reaches no journal, unless it
/// fails.
pub fn run_for_secret(
    program: &str,
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<Zeroizing<String>, ProgramError> {
    let (name, Output { status, stdout, stderr }) = output(program, arguments)?;
    let stdout = Zeroizing::new(stdout);
    if !status.success() {
        return Err(failure(name, status, &String::from_utf8_lossy(&stderr)));
    }
    Ok(Zeroizing::new(String::from_utf8_lossy(&stdout).into_owned()))
}

/// Runs a program that must end with one of the codes in `good`; returns that code and what it
/// wrote to standard output. What it complains about goes to the journal, its last words into the
/// error.
pub fn run(
    program: &str,
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
    good: &[i32],
) -> Result<(i32, String), ProgramError> {
    let (name, Output { status, stdout, stderr }) = output(program, arguments)?;
    let stderr = String::from_utf8_lossy(&stderr);
    for line in stderr.lines() {
        note(format_args!("{name}: {line}"));
    }
    match status.code() {
        Some(code) if good.contains(&code) => {
            Ok((code, String::from_utf8_lossy(&stdout).into_owned()))
        }
        _ => Err(failure(name, status, &stderr)),
    }
}

fn failure(name: String, status: ExitStatus, stderr: &str) -> ProgramError {
    let last = stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
    let problem = format!("{status}: {}", last.unwrap_or("it gave no reason"));
    ProgramError { name, problem }
}

fn output(
    program: &str,
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<(String, Output), ProgramError> {
    let name = program.rsplit('/').next().unwrap_or(program).to_owned();
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let words: Vec<_> = arguments.iter().map(|a| OsStr::to_string_lossy(a)).collect();
    note(format_args!("run {program} {}", words.join(" ")));
    // Device nodes are made by the library itself: nothing here waits for udev, which is busy with
    // all other devices at this time (libdevmapper, DM_DISABLE_UDEV).
    let done = Command::new(program)
        .args(&arguments)
        .env("DM_DISABLE_UDEV", "1")
        .stdin(Stdio::null())
        .output();
    match done {
        Ok(output) => Ok((name, output)),
        Err(error) => {
            let problem = format!("cannot start {program}: {error}; is it in the image?");
            Err(ProgramError { name, problem })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_output_and_last_words() {
        let (code, text) = run("/bin/sh", ["-c", "echo out; exit 1"], &[0, 1]).unwrap();
        assert_eq!((code, text.as_str()), (1, "out\n"));
        let error = run("/bin/sh", ["-c", "echo a >&2; echo b >&2; exit 4"], &[0, 1]).unwrap_err();
        assert_eq!(error.to_string(), "sh: exit status: 4: b");
        let secret = run_for_secret("/bin/sh", ["-c", "echo out; echo x >&2"]).unwrap();
        assert_eq!(secret.as_str(), "out\n");
        let error = run_for_secret("/bin/sh", ["-c", "echo out; echo x >&2; exit 1"]).unwrap_err();
        assert_eq!(error.to_string(), "sh: exit status: 1: x");
        let error = run("/nowhere/mkfs", ["x"], &[0]).unwrap_err().to_string();
        assert!(error.contains("cannot start /nowhere/mkfs"), "{error}");
    }
}
