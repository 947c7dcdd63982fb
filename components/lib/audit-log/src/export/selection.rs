//! Which records are exported.

use std::ops::RangeInclusive;

use crate::frame::{Class, Frame};

/// What a record must be to be selected; the default selects all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Sequence numbers.
    pub sequences: RangeInclusive<u64>,
    /// `CLOCK_REALTIME` when the record was made, nanoseconds since 1970. Clocks are set: what lies
    /// between two records by number need not lie between them by time.
    pub realtime_ns: RangeInclusive<u64>,
    /// The only class, if there is one.
    pub class: Option<Class>,
}

impl Default for Selection {
    fn default() -> Self {
        Self { sequences: 0..=u64::MAX, realtime_ns: 0..=u64::MAX, class: None }
    }
}

impl Selection {
    /// Whether a record is selected.
    pub fn includes(&self, frame: &Frame<'_>) -> bool {
        self.sequences.contains(&frame.sequence)
            && self.realtime_ns.contains(&frame.time.realtime_ns)
            && self.class.is_none_or(|class| class == frame.class)
    }
}
