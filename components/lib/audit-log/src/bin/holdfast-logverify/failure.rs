//! How the program ends.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit codes; part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Nothing is wrong.
    Good = 0,
    /// The log was tampered with, or the proof does not hold.
    Tampered = 1,
    // 2 is wrong use, which clap ends the program with.
    /// Something cannot be read, written or answered: nothing is said about the log.
    Unreadable = 3,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

impl Code {
    /// The code for whether something is good.
    pub fn of(is_good: bool) -> Self {
        if is_good { Self::Good } else { Self::Tampered }
    }
}

/// Why a command came to no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file or folder cannot be read.
    #[error("failed to read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("failed to write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Standard output cannot be written.
    #[error("failed to write to standard output: {0}")]
    Output(#[from] io::Error),
    /// A file is not what it was given as.
    #[error("{}: {detail}\n  {advice}", path.display())]
    Input {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
        /// What to do next.
        advice: &'static str,
    },
    /// The log does not have what was asked for.
    #[error("{detail}\n  {advice}")]
    NotThere {
        /// What is not there.
        detail: String,
        /// What to do next.
        advice: &'static str,
    },
}

impl Failure {
    /// A file that is not what it was given as.
    pub fn input(path: &Path, detail: impl Into<String>, advice: &'static str) -> Self {
        Self::Input { path: path.to_owned(), detail: detail.into(), advice }
    }

    /// Something that the log does not have.
    pub fn not_there(detail: impl Into<String>, advice: &'static str) -> Self {
        Self::NotThere { detail: detail.into(), advice }
    }
}
