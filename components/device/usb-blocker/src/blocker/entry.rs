//! A device that is there, and what is known of it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use holdfast_usb_rules::ports::PortName;
use holdfast_usb_rules::{
    Device, History, InterfacePlace, InterfacePolicy, InterfaceType, RuleDetail, RuleId, Target,
    Verdict,
};

use crate::device_name::DeviceName;

/// A device from its coming to its going.
#[derive(Debug)]
pub(super) struct Entry<F> {
    /// Number of the device; the next one has a higher one.
    pub number: u32,
    pub name: DeviceName,
    pub folder: F,
    /// Number of what stood for it when it came.
    pub link_id: u64,
    /// Path in sysfs, without its mount point.
    pub path: String,
    pub port: Option<PortName>,
    pub arrived: Duration,
    /// It was there when the daemon started.
    pub was_present: bool,
    /// What the rules had done until it came.
    pub history: Arc<History>,
    pub draws: Draws,
    pub identity: Identity,
    pub hold: Option<Hold>,
    /// What was found last, and for which policy.
    pub ruling: Option<Ruling>,
    /// The policy by which its interfaces were authorised last.
    pub aligned: Option<InterfacePolicy>,
    /// What was recorded last.
    pub standing: Option<Standing>,
    /// `authorized` when it was last looked at.
    pub is_authorized: bool,
    pub sleep: Sleep,
    /// It was taken away; its folder lives on until the kernel is done with it.
    pub is_removed: bool,
    /// A fault that was recorded, so that it is recorded once.
    pub fault: Option<String>,
    pub ports: Vec<HubPort>,
}

impl<F> Entry<F> {
    /// The device, if it is well-formed.
    pub const fn device(&self) -> Option<&Device> {
        match &self.identity {
            Identity::Known(known) => Some(&known.device),
            Identity::Incomplete | Identity::Malformed(_) => None,
        }
    }

    /// Whether it has ports.
    pub const fn is_hub(&self) -> bool {
        match &self.identity {
            Identity::Known(known) => known.is_hub,
            Identity::Incomplete | Identity::Malformed(_) => false,
        }
    }

    /// The device as a rule with its port and parent.
    pub fn rule(&self, target: Target) -> String {
        let detail = RuleDetail { port: true, parent: true };
        match self.device() {
            Some(device) => device.to_rule(target, detail).to_string(),
            None => format!("{target} via-port \"{}\"", self.name),
        }
    }
}

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The kernel has not put everything there yet.
    Incomplete,
    /// Everything is there.
    Known(Box<Known>),
    /// It makes no sense, for this reason.
    Malformed(String),
}

/// A device that is well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub device: Device,
    pub interfaces: BTreeMap<InterfacePlace, Vec<InterfaceType>>,
    pub is_hub: bool,
}

/// A decision of a person about this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub verdict: Verdict,
    /// On the clock that counts from boot; none if only its going ends it.
    pub until: Option<Duration>,
    /// It was ordered before the device came.
    pub was_next: bool,
}

impl Hold {
    pub fn is_over(&self, uptime: Duration) -> bool {
        self.until.is_some_and(|until| until <= uptime)
    }
}

/// Whether the kernel may let a device sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// As its driver or udev says.
    Untouched,
    /// It was free to, and is kept awake.
    Prevented,
}

/// What is to be done with a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    pub verdict: Verdict,
    pub reason: String,
    pub rule: Option<RuleId>,
    pub interfaces: Option<InterfacePolicy>,
    /// Nobody can let it in.
    pub is_final: bool,
    /// Which policy said so.
    pub generation: u64,
    /// When it has to be judged again.
    pub again: Option<Duration>,
}

/// What was recorded of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub verdict: Verdict,
    pub reason: String,
}

/// A port of a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HubPort {
    pub number: u8,
    pub name: PortName,
    /// Path below the hub's folder, as in `1-1:1.0/1-1-port3`.
    pub folder: String,
    pub is_enabled: bool,
    pub connect_type: String,
}

/// What chance has drawn for a device: the same number each time it is asked.
#[derive(Debug, Default)]
pub(super) struct Draws(RandomState);

impl Draws {
    /// A number from 0 up to, but not including, 1.
    pub fn draw(&self, rule: RuleId, condition: usize) -> f64 {
        const BITS: u32 = 53;
        let bits = self.0.hash_one((rule, condition)) >> (u64::BITS - BITS);
        // Both are exact in an f64.
        #[allow(clippy::cast_precision_loss)]
        let draw = bits as f64 / (1u64 << BITS) as f64;
        draw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_and_differ() {
        let draws = Draws::default();
        let first = draws.draw(RuleId(1), 0);
        assert!((0.0..1.0).contains(&first));
        assert!((first - draws.draw(RuleId(1), 0)).abs() < f64::EPSILON);
        let others: Vec<f64> = (0..100).map(|n| draws.draw(RuleId(2), n)).collect();
        assert!(others.iter().any(|draw| *draw < 0.5) && others.iter().any(|draw| *draw >= 0.5));
    }
}
