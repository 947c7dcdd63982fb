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
        let covering = self.rules.iter().filter(|(_, rule)| rule.covers(device));
        decide(covering.map(|(id, rule)| (*id, rule)), self.implicit, circumstances)
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

/// Judges a device by the rules that cover it.
///
/// A rule whose conditions nobody can judge lets no device in, and is not passed over if it keeps
/// devices out. Nor is a device taken away then: it would not come back once the answer is known.
fn decide<'p>(
    covering: impl Iterator<Item = (RuleId, &'p Rule)>,
    implicit: Verdict,
    circumstances: &Circumstances<'_>,
) -> Decision<'p> {
    let mut decision = Decision { verdict: implicit, basis: Basis::Implicit, awaits_time: false };
    for (id, rule) in covering {
        let truth = circumstances.hold(id, rule.conditions.as_ref());
        decision.awaits_time |= truth == Truth::Unknown;
        if let Some(verdict) = Verdict::of(rule.target).filter(|verdict| applies(truth, *verdict)) {
            decision = Decision { verdict, basis: Basis::Rule { id, rule }, ..decision };
            break;
        }
    }
    if decision.awaits_time && decision.verdict == Verdict::Reject {
        decision.verdict = Verdict::Block;
    }
    decision
}

/// Whether a rule whose conditions are so applies to a device that it covers.
fn applies(conditions: Truth, verdict: Verdict) -> bool {
    match conditions {
        Truth::True => true,
        Truth::Unknown => verdict != Verdict::Allow,
        Truth::False => false,
    }
}

/// Whether a rule asks for its own history. That of others is not kept.
fn looks_back(rule: &Rule) -> bool {
    let mut conditions = rule.each_condition().iter();
    conditions.any(|one| matches!(one.test(), Test::RuleApplied(_) | Test::RuleEvaluated(_)))
}
