//! A list of rules, and what it says about a device.

mod circumstances;
mod decision;
mod edges;
mod explain;
mod history;
mod truth;

use core::time::Duration;

pub use circumstances::Circumstances;
pub use decision::{Basis, Decision};
pub use explain::RuleExplanation;
pub use history::History;
pub use truth::Truth;

use crate::condition::Test;
use crate::device::Device;
use crate::document::{Document, RuleId};
use crate::rule::{Rule, Verdict};

/// The rules in force. The first rule that applies to a device decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<(RuleId, Rule)>,
    implicit: Verdict,
}

impl Policy {
    /// The rules of a file, and what is done with a device that none of them applies to.
    pub fn new(document: &Document, implicit: Verdict) -> Self {
        let rules = document.rules().map(|(id, rule)| (id, rule.clone())).collect();
        Self { rules, implicit }
    }

    /// The rules in their order.
    pub fn rules(&self) -> &[(RuleId, Rule)] {
        &self.rules
    }

    /// What is done with a device that no rule applies to.
    pub const fn implicit(&self) -> Verdict {
        self.implicit
    }

    /// Judges a device.
    pub fn decide(&self, device: &Device, circumstances: &Circumstances<'_>) -> Decision<'_> {
        let applies = |(id, rule): &&(RuleId, Rule)| {
            rule.covers(device) && conditions_met(*id, rule, circumstances)
        };
        Decision::of(self.rules.iter().find(applies).map(|(id, rule)| (*id, rule)), self.implicit)
    }

    /// Writes a decision about a device that came at `at` into the history: once for each device.
    pub fn record(&self, decision: &Decision<'_>, at: Duration, history: &mut History) {
        for (id, rule) in &self.rules {
            let applied = matches!(decision.basis, Basis::Rule { id: by, .. } if by == *id);
            if looks_back(rule) {
                history.record(*id, at, applied);
            }
            if applied {
                break;
            }
        }
    }
}

/// Judges a device by rules that all cover it.
fn decide<'p>(
    candidates: &[(RuleId, &'p Rule)],
    implicit: Verdict,
    circumstances: &Circumstances<'_>,
) -> Decision<'p> {
    let applies = |(id, rule): &&(RuleId, &'p Rule)| conditions_met(*id, rule, circumstances);
    Decision::of(candidates.iter().find(applies).copied(), implicit)
}

impl<'p> Decision<'p> {
    fn of(first: Option<(RuleId, &'p Rule)>, implicit: Verdict) -> Self {
        let by_rule = first.and_then(|(id, rule)| {
            let basis = Basis::Rule { id, rule };
            Verdict::of(rule.target).map(|verdict| Self { verdict, basis })
        });
        by_rule.unwrap_or(Self { verdict: implicit, basis: Basis::Implicit })
    }
}

/// Whether the conditions of a rule let it apply. If that is unknown, the rule applies unless it
/// lets a device in.
fn conditions_met(id: RuleId, rule: &Rule, circumstances: &Circumstances<'_>) -> bool {
    match circumstances.hold(id, rule.conditions.as_ref()) {
        Truth::True => true,
        Truth::False => false,
        Truth::Unknown => Verdict::of(rule.target) != Some(Verdict::Allow),
    }
}

/// Whether a rule asks for its own history. That of others is not kept.
fn looks_back(rule: &Rule) -> bool {
    let mut conditions = rule.each_condition().iter();
    conditions.any(|one| matches!(one.test(), Test::RuleApplied(_) | Test::RuleEvaluated(_)))
}
