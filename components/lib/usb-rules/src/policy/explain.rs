//! Why a rule applied, and why those before it did not.

use core::fmt;

use super::{Circumstances, Policy, Truth};
use crate::condition::Condition;
use crate::device::Device;
use crate::document::RuleId;
use crate::rule::{Mismatch, Rule, Verdict};

/// One rule held against one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleExplanation<'p> {
    /// Number of the rule.
    pub id: RuleId,
    /// The rule.
    pub rule: &'p Rule,
    /// The attributes in which the device differs; none if the device is one that the rule means.
    pub mismatches: Vec<Mismatch>,
    /// Every condition of the rule, and whether it holds.
    pub conditions: Vec<(&'p Condition, Truth)>,
    /// Whether the rule applies.
    pub applies: bool,
}

impl Policy {
    /// Explains every rule up to the one that decides, which is then the last and applies.
    pub fn explain(
        &self,
        device: &Device,
        circumstances: &Circumstances<'_>,
    ) -> Vec<RuleExplanation<'_>> {
        let mut explanations = Vec::new();
        for (id, rule) in &self.rules {
            let explanation = explain(*id, rule, device, circumstances);
            let applies = explanation.applies;
            explanations.push(explanation);
            if applies {
                break;
            }
        }
        explanations
    }
}

fn explain<'p>(
    id: RuleId,
    rule: &'p Rule,
    device: &Device,
    circumstances: &Circumstances<'_>,
) -> RuleExplanation<'p> {
    let conditions = rule.each_condition().iter().enumerate();
    let mismatches = rule.mismatches(device);
    let truth = circumstances.hold(id, rule.conditions.as_ref());
    let met = Verdict::of(rule.target).is_some_and(|verdict| super::applies(truth, verdict));
    RuleExplanation {
        id,
        rule,
        applies: mismatches.is_empty() && met,
        mismatches,
        conditions: conditions
            .map(|(index, one)| (one, circumstances.holds(id, index, one)))
            .collect(),
    }
}

/// A line for the rule, and one for each attribute that differs and each condition.
impl fmt::Display for RuleExplanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.applies { "applies" } else { "does not apply" };
        write!(f, "rule {} {outcome}: {}", self.id, self.rule)?;
        for mismatch in &self.mismatches {
            write!(f, "\n  {mismatch}")?;
        }
        for (condition, truth) in &self.conditions {
            write!(f, "\n  if {condition}: {truth}")?;
        }
        Ok(())
    }
}
