//! A rule.

mod attribute_name;
mod matching;
mod parse;
mod print;
mod set_operator;
mod target;
mod value_set;

use core::str::FromStr;

pub use attribute_name::AttributeName;
pub use matching::Mismatch;
pub use set_operator::SetOperator;
pub use target::{Target, Verdict};
pub use value_set::ValueSet;

pub(crate) use parse::{Line, braced, line, query_in_condition};

use crate::condition::Condition;
use crate::error::ParseError;
use crate::interface_policy::InterfacePolicy;
use crate::value::{DeviceIdPattern, InterfacePattern, RuleString};

/// Most conditions of a rule, as in USBGuard.
pub const MAX_CONDITIONS: usize = 64;

/// One rule: what is done with the devices that have all its attributes while its conditions hold.
///
/// An attribute that is `None` matches every device. Shown in the canonical form, which is
/// USBGuard's: attributes in the order of [`AttributeName::ALL`], an operator only if it is not
/// `equals`.
///
/// ```
/// use holdfast_usb_rules::Rule;
///
/// let rule: Rule = "allow 0781:*  with-interface {08:06:50} # the update stick".parse()?;
/// assert_eq!(rule.to_string(), "allow id 0781:* with-interface 08:06:50");
/// # Ok::<(), holdfast_usb_rules::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// What is done.
    pub target: Target,
    /// Vendor and product ID.
    pub id: Option<ValueSet<DeviceIdPattern>>,
    /// Serial number; `""` of a device without one.
    pub serial: Option<ValueSet<RuleString>>,
    /// Name of the product; `""` of a device without one.
    pub name: Option<ValueSet<RuleString>>,
    /// Hash of the device.
    pub hash: Option<ValueSet<RuleString>>,
    /// Hash of the hub or controller above the device.
    pub parent_hash: Option<ValueSet<RuleString>>,
    /// Place of the device, as `1-2.3` or `usb1`.
    pub via_port: Option<ValueSet<RuleString>>,
    /// Types of the interfaces.
    pub with_interface: Option<ValueSet<InterfacePattern>>,
    /// Conditions.
    pub conditions: Option<ValueSet<Condition>>,
    /// `hardwired`, `hotplug`, `not used`, `unknown`, or `""` of a controller.
    pub with_connect_type: Option<ValueSet<RuleString>>,
    /// Which interfaces are authorised; all if `None`. Only with the target allow.
    pub interface_policy: Option<InterfacePolicy>,
    /// For people and tools; it matches nothing.
    pub label: Option<ValueSet<RuleString>>,
}

impl Rule {
    /// A rule without attributes, which matches every device.
    pub const fn new(target: Target) -> Self {
        Self {
            target,
            id: None,
            serial: None,
            name: None,
            hash: None,
            parent_hash: None,
            via_port: None,
            with_interface: None,
            conditions: None,
            with_connect_type: None,
            interface_policy: None,
            label: None,
        }
    }
}

impl Rule {
    /// The conditions in their order, whatever operator joins them.
    pub(crate) fn each_condition(&self) -> &[Condition] {
        self.conditions.as_ref().map(ValueSet::values).unwrap_or_default()
    }
}

impl FromStr for Rule {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text.as_bytes())
    }
}
