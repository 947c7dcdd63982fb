//! USBGuard's parameters that clients may set.

use holdfast_ipc::usb::Parameter;
use holdfast_usb_rules::Verdict;

/// What is done with a device that comes while the daemon runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Inserted {
    Block,
    Reject,
    #[default]
    ApplyPolicy,
}

/// Both parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub inserted: Inserted,
    pub implicit: Verdict,
}

impl Parameters {
    /// The value of one, as on the bus.
    pub const fn get(self, parameter: Parameter) -> &'static str {
        match parameter {
            Parameter::ImplicitPolicyTarget => self.implicit.name(),
            Parameter::InsertedDevicePolicy => match self.inserted {
                Inserted::Block => "block",
                Inserted::Reject => "reject",
                Inserted::ApplyPolicy => "apply-policy",
            },
        }
    }

    /// Sets one. Whether it has such a value.
    pub fn set(&mut self, parameter: Parameter, value: &str) -> bool {
        match (parameter, value) {
            (Parameter::InsertedDevicePolicy, "block") => self.inserted = Inserted::Block,
            (Parameter::InsertedDevicePolicy, "reject") => self.inserted = Inserted::Reject,
            (Parameter::InsertedDevicePolicy, "apply-policy") => {
                self.inserted = Inserted::ApplyPolicy;
            }
            (Parameter::ImplicitPolicyTarget, value) => match Verdict::from_name(value) {
                Some(verdict) => self.implicit = verdict,
                None => return false,
            },
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_leads_back() {
        let mut parameters = Parameters { inserted: Inserted::default(), implicit: Verdict::Block };
        for parameter in Parameter::ALL {
            for value in parameter.values() {
                assert!(parameters.set(parameter, value));
                assert_eq!(parameters.get(parameter), value);
            }
            assert!(!parameters.set(parameter, "keep"));
        }
    }
}
