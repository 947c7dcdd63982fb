//! Time as a value that tests can set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use time::OffsetDateTime;

/// Where the server reads the time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment, UTC, whole seconds.
    fn now(&self) -> OffsetDateTime;
}

/// A clock that several parts of the server share.
pub type SharedClock = Arc<dyn Clock>;

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        whole_seconds(OffsetDateTime::now_utc())
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at `now`.
    pub fn at(now: OffsetDateTime) -> Self {
        Self(AtomicI64::new(now.unix_timestamp()))
    }

    /// Moves on.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        from_unix(self.0.load(Ordering::SeqCst))
    }
}

/// Seconds since the epoch as a moment; values outside of the calendar become the epoch.
pub fn from_unix(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn whole_seconds(moment: OffsetDateTime) -> OffsetDateTime {
    moment.replace_nanosecond(0).unwrap_or(moment)
}
