//! When a window of time changes a decision.

use core::time::Duration;
use std::collections::BTreeSet;

use super::{Circumstances, Policy, decide};
use crate::condition::{Test, TimeWindow};
use crate::device::Device;
use crate::document::RuleId;
use crate::rule::Rule;

impl Policy {
    /// How long until the edge of a window changes the decision about a device, counted from the
    /// start of the second that `circumstances.local_time` is in; none if that is not known, or
    /// no edge changes anything.
    ///
    /// The local clock is taken to run on: whoever waits for the edge must also judge again when
    /// the clock is set or the time zone's offset changes.
    pub fn next_change(
        &self,
        device: &Device,
        circumstances: &Circumstances<'_>,
    ) -> Option<Duration> {
        let now = circumstances.local_time?;
        let candidates = self.candidates(device);
        let today = decide(candidates.iter().copied(), self.implicit, circumstances);
        let windows = candidates.iter().flat_map(|(_, rule)| windows(rule));
        let edges: BTreeSet<u32> =
            windows.flat_map(TimeWindow::edges).map(|edge| now.until(edge)).collect();
        let changes = |seconds: &u32| {
            let then = Circumstances { local_time: Some(now.plus(*seconds)), ..*circumstances };
            decide(candidates.iter().copied(), self.implicit, &then) != today
        };
        edges.into_iter().find(changes).map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// The rules that may decide about a device at some time.
    fn candidates(&self, device: &Device) -> Vec<(RuleId, &Rule)> {
        let mut candidates = Vec::new();
        for (id, rule) in self.rules.iter().filter(|(_, rule)| rule.covers(device)) {
            candidates.push((*id, rule));
            if rule.conditions.is_none() {
                break;
            }
        }
        candidates
    }
}

fn windows(rule: &Rule) -> impl Iterator<Item = TimeWindow> {
    rule.each_condition().iter().filter_map(|condition| match condition.test() {
        Test::LocalTime(window) => Some(*window),
        _ => None,
    })
}
