//! A device, as rules see it.

use crate::rule::{AttributeName, Rule, SetOperator, Target, ValueSet};
use crate::value::{DeviceId, InterfacePattern, InterfaceType, RuleString};

/// What the rules are asked about: the identity of a device and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Vendor and product ID.
    pub id: DeviceId,
    /// `serial` in sysfs; empty if the device has none.
    pub serial: RuleString,
    /// `product` in sysfs; empty if the device has none.
    pub name: RuleString,
    /// [`device_hash`](crate::device_hash).
    pub hash: RuleString,
    /// Hash of the parent, or [`controller_parent_hash`](crate::controller_parent_hash).
    pub parent_hash: RuleString,
    /// Name of its folder in sysfs: `usb1` of a controller, else bus, ports: `1-2.3`.
    pub via_port: RuleString,
    /// Type of every interface descriptor in the order of the descriptors, alternate settings
    /// included.
    pub interfaces: Vec<InterfaceType>,
    /// `port/connect_type` in sysfs; empty of a controller.
    pub connect_type: RuleString,
}

/// How much of a device a rule made from it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleDetail {
    /// With `via-port`: the rule holds at this port only.
    pub port: bool,
    /// With `parent-hash`: the rule holds at this hub or controller only.
    pub parent: bool,
}

impl Device {
    /// A rule that matches this device.
    pub fn to_rule(&self, target: Target, detail: RuleDetail) -> Rule {
        let text = |value: &RuleString| Some(ValueSet::one(value.clone()));
        let interfaces = self.interfaces.iter().copied().map(InterfacePattern::from).collect();
        Rule {
            id: Some(ValueSet::one(self.id.into())),
            serial: text(&self.serial),
            name: text(&self.name),
            hash: text(&self.hash),
            parent_hash: text(&self.parent_hash).filter(|_| detail.parent),
            via_port: text(&self.via_port).filter(|_| detail.port),
            with_interface: ValueSet::new(SetOperator::Equals, interfaces),
            with_connect_type: text(&self.connect_type),
            ..Rule::new(target)
        }
    }

    /// Whether this is a controller's root hub, and nothing besides.
    pub fn is_controller(&self) -> bool {
        let hub = |kind: &InterfaceType| kind.class == 0x09 && kind.subclass == 0x00;
        self.via_port.as_bytes().starts_with(b"usb")
            && matches!(self.interfaces.as_slice(), [only] if hub(only))
    }

    /// The values of an attribute as a rule would have them, separated by blanks.
    pub(crate) fn attribute(&self, name: AttributeName) -> String {
        match name {
            AttributeName::Id => self.id.to_string(),
            AttributeName::Serial => self.serial.to_string(),
            AttributeName::Name => self.name.to_string(),
            AttributeName::Hash => self.hash.to_string(),
            AttributeName::ParentHash => self.parent_hash.to_string(),
            AttributeName::ViaPort => self.via_port.to_string(),
            AttributeName::WithInterface => {
                let kinds: Vec<_> = self.interfaces.iter().map(ToString::to_string).collect();
                kinds.join(" ")
            }
            AttributeName::WithConnectType => self.connect_type.to_string(),
            AttributeName::If | AttributeName::InterfacePolicy | AttributeName::Label => {
                String::new()
            }
        }
    }
}
