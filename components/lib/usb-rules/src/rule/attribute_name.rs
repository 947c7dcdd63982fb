//! Names of a rule's attributes.

use core::fmt;

/// An attribute of a rule. [`AttributeName::ALL`] is in the order in which a rule is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeName {
    /// Vendor and product ID.
    Id,
    /// `iSerialNumber` as text.
    Serial,
    /// `iProduct` as text.
    Name,
    /// [`device_hash`](crate::device_hash).
    Hash,
    /// The same of the hub that the device is plugged into.
    ParentHash,
    /// Name of the device in sysfs, which is its place: `1-2.3`.
    ViaPort,
    /// Types of the interfaces, in the order of the descriptors.
    WithInterface,
    /// Conditions.
    If,
    /// `port/connect_type` in sysfs.
    WithConnectType,
    /// Which interfaces of an allowed device are authorised.
    InterfacePolicy,
    /// A word for people and tools.
    Label,
}

impl AttributeName {
    /// Every name.
    pub const ALL: [Self; 11] = [
        Self::Id,
        Self::Serial,
        Self::Name,
        Self::Hash,
        Self::ParentHash,
        Self::ViaPort,
        Self::WithInterface,
        Self::If,
        Self::WithConnectType,
        Self::InterfacePolicy,
        Self::Label,
    ];

    /// For messages.
    pub(crate) const LIST: &str = "id, serial, name, hash, parent-hash, via-port, with-interface, \
        if, with-connect-type, interface-policy, label";

    /// The word in a rule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Serial => "serial",
            Self::Name => "name",
            Self::Hash => "hash",
            Self::ParentHash => "parent-hash",
            Self::ViaPort => "via-port",
            Self::WithInterface => "with-interface",
            Self::If => "if",
            Self::WithConnectType => "with-connect-type",
            Self::InterfacePolicy => "interface-policy",
            Self::Label => "label",
        }
    }

    pub(crate) fn from_word(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.name().as_bytes() == word)
    }
}

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_in_messages_is_complete() {
        let names: Vec<_> = AttributeName::ALL.into_iter().map(AttributeName::name).collect();
        assert_eq!(names.join(", "), AttributeName::LIST);
    }
}
