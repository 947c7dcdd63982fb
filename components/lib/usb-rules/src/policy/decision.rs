//! What a policy says about a device.

use core::fmt;

use crate::document::RuleId;
use crate::interface_policy::InterfacePolicy;
use crate::rule::{Rule, Verdict};

/// What is done with a device, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'p> {
    /// What is done.
    pub verdict: Verdict,
    /// What says so.
    pub basis: Basis<'p>,
    /// Whether a condition could not be judged because the time is not known: the device is to be
    /// judged again once it is.
    pub awaits_time: bool,
}

/// What a decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis<'p> {
    /// The first rule that applies.
    Rule {
        /// Its number.
        id: RuleId,
        /// The rule.
        rule: &'p Rule,
    },
    /// No rule applies.
    Implicit,
}

impl<'p> Decision<'p> {
    /// The interfaces of an allowed device that are authorised; all of them if there is no policy.
    pub fn interface_policy(&self) -> Option<&'p InterfacePolicy> {
        match self.basis {
            Basis::Rule { rule, .. } => rule.interface_policy.as_ref(),
            Basis::Implicit => None,
        }
    }
}

/// As in `allow by rule 3 (label "keyboards")` or `block by implicit while the time is unknown`,
/// for logs.
impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.verdict, self.basis)?;
        if self.awaits_time { f.write_str(" while the time is unknown") } else { Ok(()) }
    }
}

/// As in `rule 3 (label "keyboards")` or `implicit`, for logs.
impl fmt::Display for Basis<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Implicit => f.write_str("implicit"),
            Self::Rule { id, rule } => {
                write!(f, "rule {id}")?;
                rule.label.as_ref().map_or(Ok(()), |label| write!(f, " (label {label})"))
            }
        }
    }
}
