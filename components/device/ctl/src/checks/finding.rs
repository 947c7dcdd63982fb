//! What a check found.

use serde::{Deserialize, Serialize};

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Not as it should be, or not to be told, but not by itself a danger.
    Warning,
    /// A protection is missing or broken.
    Failed,
}

/// Outcome, what was seen, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How it stands.
    pub outcome: Outcome,
    /// What was seen.
    pub text: String,
    /// What to do, unless all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Ok, text: text.into(), advice: None }
    }

    pub(super) fn warning(text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warning, text: text.into(), advice: Some(advice.into()) }
    }

    pub(super) fn failed(text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, text: text.into(), advice: Some(advice.into()) }
    }
}
