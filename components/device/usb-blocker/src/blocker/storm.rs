//! Ports on which devices come and go faster than people plug.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::config::StormLimit;
use crate::device_name::DeviceName;

/// Counts arrivals by port; a port is named by the device that is plugged into it.
#[derive(Debug)]
pub(super) struct Storms {
    limit: StormLimit,
    arrivals: BTreeMap<DeviceName, VecDeque<Duration>>,
    off: BTreeMap<DeviceName, Duration>,
}

impl Storms {
    pub fn new(limit: StormLimit) -> Self {
        Self { limit, arrivals: BTreeMap::new(), off: BTreeMap::new() }
    }

    /// A device came. Whether that is one too many: the port is off from now on, for a while.
    pub fn arrived(&mut self, name: &DeviceName, uptime: Duration) -> bool {
        let since = uptime.saturating_sub(self.limit.within());
        for times in self.arrivals.values_mut() {
            while times.front().is_some_and(|time| *time < since) {
                times.pop_front();
            }
        }
        self.arrivals.retain(|_, times| !times.is_empty());
        let times = self.arrivals.entry(name.clone()).or_default();
        times.push_back(uptime);
        if times.len() <= self.limit.arrivals {
            return false;
        }
        self.arrivals.remove(name);
        self.off.insert(name.clone(), uptime + self.limit.off()).is_none()
    }

    /// Ports that come back: their time is over.
    pub fn take_ended(&mut self, uptime: Duration) -> bool {
        let before = self.off.len();
        self.off.retain(|_, until| *until > uptime);
        self.off.len() != before
    }

    /// Whether a port is off.
    pub fn is_off(&self, name: &DeviceName) -> bool {
        self.off.contains_key(name)
    }

    /// When the next port comes back.
    pub fn next_end(&self) -> Option<Duration> {
        self.off.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_mad_port_is_off_for_a_while() {
        let mut storms = Storms::new(StormLimit::after(3));
        let (mad, calm): (DeviceName, DeviceName) =
            ("1-1".parse().unwrap(), "1-2".parse().unwrap());
        // Three in ten seconds are fine for ever.
        for time in (0..100).step_by(4) {
            assert!(!storms.arrived(&calm, s(time)));
        }
        for time in 100..103 {
            assert!(!storms.arrived(&mad, s(time)));
        }
        assert!(storms.arrived(&mad, s(103)));
        assert!(storms.is_off(&mad) && !storms.is_off(&calm));
        assert_eq!(storms.next_end(), Some(s(133)));
        assert!(!storms.take_ended(s(132)));
        assert!(storms.take_ended(s(133)));
        assert!(!storms.is_off(&mad));
        assert_eq!(storms.next_end(), None);
    }
}
