//! What a record is about, and so how urgently it must be on disk.

use serde::Serialize;

/// Class of a record. A critical one is durable before whoever caused it gets an answer, and may
/// use the reserve of a spool that is nearly full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Class {
    /// What the kernel reports and no other class is about.
    Kernel = 0x01,
    /// Programs that were started.
    Execution = 0x02,
    /// Boots, units, time.
    System = 0x03,
    /// Operations of our daemons that change nothing.
    Operation = 0x04,
    /// Logins, and keys and certificates of the device.
    Authentication = 0x81,
    /// USB devices and what was decided about them.
    Usb = 0x82,
    /// Rules, and what loads or changes them.
    Policy = 0x83,
    /// Images and what is done with them.
    Update = 0x84,
    /// Who may do what: users, groups, roles, modes of files.
    Permission = 0x85,
    /// The log itself: losses, repairs, checkpoints.
    Log = 0x86,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 10] = [
        Self::Kernel,
        Self::Execution,
        Self::System,
        Self::Operation,
        Self::Authentication,
        Self::Usb,
        Self::Policy,
        Self::Update,
        Self::Permission,
        Self::Log,
    ];

    const CRITICAL: u8 = 0x80;

    /// The byte of the frame.
    pub const fn as_byte(self) -> u8 {
        self as u8
    }

    /// Whether the record must be durable at once.
    pub const fn is_critical(self) -> bool {
        self.as_byte() & Self::CRITICAL != 0
    }

    /// The name in text, as in `authentication`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Execution => "execution",
            Self::System => "system",
            Self::Operation => "operation",
            Self::Authentication => "authentication",
            Self::Usb => "usb",
            Self::Policy => "policy",
            Self::Update => "update",
            Self::Permission => "permission",
            Self::Log => "log",
        }
    }

    /// The class of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_byte() == byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire() {
        for class in Class::ALL {
            let json = serde_json::to_string(&class).unwrap();
            assert_eq!(json, format!("\"{}\"", class.name()));
            assert_eq!(Class::from_name(class.name()), Some(class));
        }
        assert_eq!(Class::from_name("Log"), None);
    }
}
