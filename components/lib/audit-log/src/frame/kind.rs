//! What a payload is.

use serde::Serialize;

/// Kind of a record's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Kind {
    /// Messages of one event of the kernel: [`crate::kernel::KernelEvent`].
    KernelEvent = 1,
    /// An operation that our daemons were asked for: JSON of [`crate::AuditRecord`].
    Operation = 2,
    /// Records that were lost: JSON of [`crate::Loss`].
    Loss = 3,
    /// A repair of the log after a power cut: JSON of [`crate::Recovered`].
    Recovered = 4,
    /// A signed checkpoint of the records before this one: a C2SP signed note.
    Checkpoint = 5,
    /// The start of the device: JSON of [`crate::Boot`].
    Boot = 6,
    /// A step of the clock: JSON of [`crate::ClockStep`].
    Clock = 7,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::KernelEvent,
        Self::Operation,
        Self::Loss,
        Self::Recovered,
        Self::Checkpoint,
        Self::Boot,
        Self::Clock,
    ];

    /// The byte of the frame.
    pub const fn as_byte(self) -> u8 {
        self as u8
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_byte() == byte)
    }
}
