//! When rules were last asked, and when they last decided.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::document::RuleId;

/// What `rule-evaluated` and `rule-applied` look back on.
///
/// Both conditions ask about the time before a device came. So each device is judged by the
/// history as it was then (a clone of it), also when it is judged again, and what it adds itself
/// counts for later devices only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    rules: BTreeMap<RuleId, Past>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Past {
    evaluated: Duration,
    applied: Option<Duration>,
}

impl History {
    /// When the rule was last asked about a device.
    pub fn evaluated(&self, rule: RuleId) -> Option<Duration> {
        self.rules.get(&rule).map(|past| past.evaluated)
    }

    /// When the rule last decided about a device.
    pub fn applied(&self, rule: RuleId) -> Option<Duration> {
        self.rules.get(&rule).and_then(|past| past.applied)
    }

    /// Forgets rules that are no more.
    pub fn retain(&mut self, is_there: impl Fn(RuleId) -> bool) {
        self.rules.retain(|rule, _| is_there(*rule));
    }

    pub(super) fn record(&mut self, rule: RuleId, at: Duration, applied: bool) {
        let past = self.rules.entry(rule).or_insert(Past { evaluated: at, applied: None });
        past.evaluated = at;
        if applied {
            past.applied = Some(at);
        }
    }
}
