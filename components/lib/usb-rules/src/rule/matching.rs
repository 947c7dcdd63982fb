//! Rule against device.

use super::{AttributeName, Rule, ValueSet};
use crate::device::Device;
use crate::value::Pattern;

/// An attribute in which a device differs from a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Which attribute.
    pub attribute: AttributeName,
    /// The rule's values, as in `one-of { 08:*:* }`.
    pub wanted: String,
    /// The device's values, separated by blanks; empty if it has none.
    pub found: String,
}

impl core::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { attribute, wanted, found } = self;
        let found = if found.is_empty() { "nothing" } else { found };
        write!(f, "{attribute}: the rule wants {wanted}, the device has {found}")
    }
}

impl Rule {
    /// Whether the device has the attributes of this rule. Conditions are not asked.
    pub fn covers(&self, device: &Device) -> bool {
        AttributeName::ALL.into_iter().all(|name| self.covers_attribute(name, device))
    }

    /// In which attributes the device differs from this rule; none if [`Rule::covers`] it.
    pub fn mismatches(&self, device: &Device) -> Vec<Mismatch> {
        let differs = |name: &AttributeName| !self.covers_attribute(*name, device);
        let mismatch = |attribute| Mismatch {
            attribute,
            wanted: self.attribute(attribute).map(ToString::to_string).unwrap_or_default(),
            found: device.attribute(attribute),
        };
        AttributeName::ALL.into_iter().filter(differs).map(mismatch).collect()
    }

    fn covers_attribute(&self, name: AttributeName, device: &Device) -> bool {
        use core::slice::from_ref;
        match name {
            AttributeName::Id => holds(self.id.as_ref(), from_ref(&device.id)),
            AttributeName::Serial => holds(self.serial.as_ref(), from_ref(&device.serial)),
            AttributeName::Name => holds(self.name.as_ref(), from_ref(&device.name)),
            AttributeName::Hash => holds(self.hash.as_ref(), from_ref(&device.hash)),
            AttributeName::ParentHash => {
                holds(self.parent_hash.as_ref(), from_ref(&device.parent_hash))
            }
            AttributeName::ViaPort => holds(self.via_port.as_ref(), from_ref(&device.via_port)),
            AttributeName::WithInterface => holds(self.with_interface.as_ref(), &device.interfaces),
            AttributeName::WithConnectType => {
                holds(self.with_connect_type.as_ref(), from_ref(&device.connect_type))
            }
            AttributeName::If | AttributeName::InterfacePolicy | AttributeName::Label => true,
        }
    }
}

fn holds<V, T: Pattern<V>>(wanted: Option<&ValueSet<T>>, found: &[V]) -> bool {
    wanted.is_none_or(|wanted| wanted.holds(found))
}
