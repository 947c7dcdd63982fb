//! What a store operation can end with.

use crate::registry::{Denial, TransitionError};

/// Why an operation was not done. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// The name fits several things.
    #[error("{0}")]
    Ambiguous(String),
    /// It contradicts what is there.
    #[error("{detail}")]
    Conflict {
        /// Stable code.
        code: &'static str,
        /// What is there, and what to do.
        detail: String,
    },
    /// The device's state forbids it.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// The claim is no longer admitted.
    #[error("{}", .0.detail)]
    Denied(Box<Denial>),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(String),
    /// The store stands still; the server stops.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Says which line of a table contradicts what is there.
    #[must_use]
    pub fn at_line(self, line: u64) -> Self {
        match self {
            Self::Conflict { code, detail } => {
                Self::Conflict { code, detail: format!("line {line}: {detail}") }
            }
            other => other,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}
