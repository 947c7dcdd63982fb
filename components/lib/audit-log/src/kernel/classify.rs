//! Which class an event of the kernel has.

use super::{KernelEvent, MessageType};
use crate::frame::Class;

/// Keys of the kernel's audit rules that Holdfast loads; they say what a rule watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleKey {
    /// Programs that are started.
    Exec,
    /// Files of users, groups and passwords.
    Identity,
    /// Files of sudo and polkit.
    Sudo,
    /// Unit files of systemd.
    Units,
    /// Loading and removing of kernel modules.
    Modules,
    /// Mounting.
    Mount,
    /// Setting of the clock.
    Time,
    /// Processes that look into others.
    Ptrace,
    /// Modes and owners of files.
    Permission,
}

impl RuleKey {
    /// Every key.
    pub const ALL: [Self; 9] = [
        Self::Exec,
        Self::Identity,
        Self::Sudo,
        Self::Units,
        Self::Modules,
        Self::Mount,
        Self::Time,
        Self::Ptrace,
        Self::Permission,
    ];

    /// The key as it stands in the rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "hf-exec",
            Self::Identity => "hf-identity",
            Self::Sudo => "hf-sudo",
            Self::Units => "hf-units",
            Self::Modules => "hf-modules",
            Self::Mount => "hf-mount",
            Self::Time => "hf-time",
            Self::Ptrace => "hf-ptrace",
            Self::Permission => "hf-permission",
        }
    }

    /// The class of what the rule watches.
    pub const fn class(self) -> Class {
        match self {
            Self::Exec => Class::Execution,
            Self::Identity | Self::Sudo | Self::Permission => Class::Permission,
            Self::Units | Self::Mount | Self::Time => Class::System,
            Self::Modules => Class::Policy,
            Self::Ptrace => Class::Kernel,
        }
    }

    /// The key of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::of(name.as_bytes())
    }

    fn of(key: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str().as_bytes() == key)
    }
}

/// The class of an event: of all that its messages' types and its rules' keys suggest, the first
/// in the order authentication, policy, permission, update, USB, execution, system, kernel.
pub fn classify(event: &KernelEvent<'_>) -> Class {
    let by_type = event.messages().filter_map(|message| class_of(message.kind));
    let is_call = |kind| matches!(kind, MessageType::SYSCALL | MessageType::URINGOP);
    let has_key = event.messages().any(|message| is_call(message.kind));
    let keys = if has_key { event.keys() } else { Vec::new() };
    let by_key = keys.iter().filter_map(|key| RuleKey::of(key)).map(RuleKey::class);
    by_type.chain(by_key).min_by_key(|class| rank(*class)).unwrap_or(Class::Kernel)
}

fn rank(class: Class) -> u8 {
    match class {
        Class::Log => 0,
        Class::Authentication => 1,
        Class::Policy => 2,
        Class::Permission => 3,
        Class::Update => 4,
        Class::Usb => 5,
        Class::Execution => 6,
        Class::System => 7,
        Class::Operation => 8,
        Class::Kernel => 9,
    }
}

/// What a type says by itself.
fn class_of(kind: MessageType) -> Option<Class> {
    Some(match kind.0 {
        // Logins, sessions, passwords; keys and handshakes as OpenSSH reports them.
        1006
        | 1100
        | 1101
        | 1103..=1106
        | 1108..=1110
        | 1112
        | 1113
        | 1126
        | 1133
        | 1135
        | 1136
        | 2100..=2104
        | 2118..=2121
        | 2203..=2208
        | 2400..=2499 => Class::Authentication,
        // Rules of audit, of the access controls, of the firewall; modules.
        1111
        | 1200..=1299
        | 1305
        | 1325
        | 1328..=1330
        | 1403..=1419
        | 1421
        | 1422
        | 1505
        | 1805
        | 1807
        | 2309
        | 2310
        | 2312
        | 2313 => Class::Policy,
        // Users, groups, roles.
        1102 | 1114..=1117 | 1119 | 1125 | 1132 | 2114..=2116 | 2300..=2304 | 2311 => {
            Class::Permission
        }
        1137 => Class::Usb,
        1138 => Class::Update,
        1123 | 1309 => Class::Execution,
        1127..=1131 | 1332 | 1333 => Class::System,
        _ => return None,
    })
}
