//! What can be wrong with a checkpoint.

use crate::origin::NotAnOrigin;

/// Why a text is not a signed checkpoint, and on which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct CheckpointError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a line of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The text is longer than any checkpoint.
    #[error("a checkpoint of {0} bytes is too long")]
    TooLong(usize),
    /// A character that no note may hold (C2SP signed-note, Format).
    #[error("not UTF-8 without control characters")]
    Characters,
    /// The text ends where a line is expected.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The first line names no log.
    #[error(transparent)]
    Origin(#[from] NotAnOrigin),
    /// Not a decimal number of its range, without leading zeros.
    #[error("{0} is not a decimal number in range, without leading zeros")]
    Number(&'static str),
    /// Not the base64 of a hash.
    #[error("{0} is not the base64 of 32 bytes")]
    Hash(&'static str),
    /// An extension line that is not known, or not in its place.
    #[error("expected head, then tpm-clock and nv-counter or neither")]
    Extension,
    /// A line after the empty one that is not a signature.
    #[error("not a signature line: em dash, key name, base64 of key id and signature")]
    Signature,
    /// More signatures than are read.
    #[error("more than {0} signatures")]
    TooManySignatures(usize),
    /// The last line has no end.
    #[error("the line has no end")]
    Unended,
}

impl Problem {
    pub(super) fn on(self, line: usize) -> CheckpointError {
        CheckpointError { line, problem: self }
    }
}
