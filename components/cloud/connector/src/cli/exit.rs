//! How a command ends. The numbers are stable: scripts rely on them.

use std::process::ExitCode;

use super::ClientError;
use crate::data::DataError;

/// A command that did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Exit {
    /// 1: something failed.
    #[error("{0}")]
    Failed(String),
    /// 2: the arguments make no sense together.
    #[error("{0}")]
    Usage(String),
    /// 3: the server refused, or there is no such thing.
    #[error("{detail}")]
    Refused {
        /// Stable code of the server.
        code: String,
        /// For people.
        detail: String,
        /// For the server's log.
        request_id: String,
    },
    /// 4: the server cannot be reached.
    #[error("{0}")]
    Unreachable(String),
}

impl Exit {
    /// The process's exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused { .. } => 3,
            Self::Unreachable(_) => 4,
        })
    }

    /// A stable name.
    pub fn name(&self) -> &str {
        match self {
            Self::Failed(_) => "failed",
            Self::Usage(_) => "usage",
            Self::Refused { code, .. } => code,
            Self::Unreachable(_) => "unreachable",
        }
    }
}

impl From<DataError> for Exit {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Endpoints { .. } => Self::Unreachable(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<ClientError> for Exit {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { code, detail, request_id } => {
                Self::Refused { code, detail, request_id }
            }
            ClientError::Unreachable { .. } => Self::Unreachable(error.to_string()),
            ClientError::Answer(_) | ClientError::Configuration(_) => {
                Self::Failed(error.to_string())
            }
        }
    }
}
