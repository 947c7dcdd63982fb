//! How much the spool may hold.

use holdfast_audit_log::frame::Class;

/// Bounds of the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All segments together, bytes.
    pub total: u64,
    /// A segment is closed when it has so many bytes.
    pub segment: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 256 * 1024 * 1024, segment: 1024 * 1024 }
    }
}

/// How full the spool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fill {
    /// Below 70 %.
    Low,
    /// 70 % and more: somebody should know.
    High,
    /// 90 % and more: only critical records are taken.
    Reserve,
}

impl Limits {
    /// Tenths of the whole from which on it is [`Fill::High`].
    const HIGH: u64 = 7;
    /// Tenths of the whole that records may fill that are not critical.
    const COMMON: u64 = 9;

    /// Bytes up to which records of a class are taken.
    pub fn of(self, class: Class) -> u64 {
        if class.is_critical() { self.total } else { self.total / 10 * Self::COMMON }
    }

    /// How full it is with so many bytes.
    pub fn fill(self, used: u64) -> Fill {
        let tenth = self.total / 10;
        if used >= tenth * Self::COMMON {
            Fill::Reserve
        } else if used >= tenth * Self::HIGH {
            Fill::High
        } else {
            Fill::Low
        }
    }
}
