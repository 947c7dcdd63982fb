//! The canonical form.

use core::fmt;

use super::{AttributeName, Rule, ValueSet};

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.target)?;
        AttributeName::ALL.into_iter().try_for_each(|name| match self.attribute(name) {
            Some(values) => write!(f, " {name} {values}"),
            None => Ok(()),
        })
    }
}

impl Rule {
    /// The values of an attribute, to be shown.
    pub(crate) fn attribute(&self, name: AttributeName) -> Option<&dyn fmt::Display> {
        match name {
            AttributeName::Id => shown(self.id.as_ref()),
            AttributeName::Serial => shown(self.serial.as_ref()),
            AttributeName::Name => shown(self.name.as_ref()),
            AttributeName::Hash => shown(self.hash.as_ref()),
            AttributeName::ParentHash => shown(self.parent_hash.as_ref()),
            AttributeName::ViaPort => shown(self.via_port.as_ref()),
            AttributeName::WithInterface => shown(self.with_interface.as_ref()),
            AttributeName::If => shown(self.conditions.as_ref()),
            AttributeName::WithConnectType => shown(self.with_connect_type.as_ref()),
            AttributeName::InterfacePolicy => {
                self.interface_policy.as_ref().map(|policy| policy as &dyn fmt::Display)
            }
            AttributeName::Label => shown(self.label.as_ref()),
        }
    }
}

fn shown<T: fmt::Display>(values: Option<&ValueSet<T>>) -> Option<&dyn fmt::Display> {
    values.map(|values| values as &dyn fmt::Display)
}
