//! What a decision depends on besides the device and the rules.

use core::time::Duration;

use super::{History, Truth};
use crate::condition::{Condition, Test, TimeOfDay};
use crate::device::Device;
use crate::document::RuleId;
use crate::rule::{SetOperator, ValueSet};

/// The circumstances under which a device is judged. With the same ones, the same device gets the
/// same decision, as often as it is judged: a daemon that judges again on every event keeps
/// `arrived`, `history` and the draws of a device for as long as the device is there.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// The local time of day; none while the clock is not set.
    pub local_time: Option<TimeOfDay>,
    /// When the device came, on a clock that counts from boot and never jumps.
    pub arrived: Duration,
    /// What the rules did up to then.
    pub history: &'a History,
    /// The devices that are allowed, without the one that is judged.
    pub allowed: &'a [&'a Device],
    /// Draws a number from 0 up to, but not including, 1 for the device that is judged, a rule,
    /// and the place of the condition in it, from 0: the same one each time.
    pub draw: &'a dyn Fn(RuleId, usize) -> f64,
}

impl Circumstances<'_> {
    /// Whether the conditions of a rule hold.
    pub(super) fn hold(&self, rule: RuleId, conditions: Option<&ValueSet<Condition>>) -> Truth {
        let Some(conditions) = conditions else { return Truth::True };
        let numbered = conditions.values().iter().enumerate();
        let truths = numbered.map(|(index, condition)| self.holds(rule, index, condition));
        match conditions.operator() {
            SetOperator::OneOf => Truth::any(truths),
            SetOperator::NoneOf => Truth::any(truths).not(),
            SetOperator::AllOf
            | SetOperator::Equals
            | SetOperator::EqualsOrdered
            | SetOperator::MatchAll => Truth::all(truths),
        }
    }

    /// Whether one condition of a rule holds, its negation included.
    pub(super) fn holds(&self, rule: RuleId, index: usize, condition: &Condition) -> Truth {
        let truth = match condition.test() {
            Test::Constant(value) => (*value).into(),
            Test::AllowedMatches(query) => {
                self.allowed.iter().any(|device| query.covers(device)).into()
            }
            Test::LocalTime(window) => {
                self.local_time.map_or(Truth::Unknown, |time| window.contains(time).into())
            }
            Test::Random(probability) => ((self.draw)(rule, index) < probability.value()).into(),
            Test::RuleApplied(within) => self.is_recent(self.history.applied(rule), *within),
            Test::RuleEvaluated(within) => self.is_recent(self.history.evaluated(rule), *within),
        };
        if condition.is_negated() { truth.not() } else { truth }
    }

    fn is_recent(&self, at: Option<Duration>, within: Option<Duration>) -> Truth {
        let recent = |at| within.is_none_or(|within| self.arrived.saturating_sub(at) <= within);
        at.is_some_and(recent).into()
    }
}
