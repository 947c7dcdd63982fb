//! Why a rules file could not be edited.

use super::RuleId;
use crate::error::ParseError;

/// Why an edit was not made. The document is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No rule has this id.
    #[error("there is no rule {0}; the list of rules shows which there are")]
    NoSuchRule(RuleId),
    /// Not a rule that a policy can have.
    #[error("the new rule is not valid: {0}")]
    Rule(#[from] ParseError),
    /// Every id was given out.
    #[error("no rule id is left; reload the rules to number them anew")]
    IdsUsedUp,
}
