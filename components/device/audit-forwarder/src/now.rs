//! The time, as records carry it.

use std::path::Path;

use holdfast_audit_log::frame::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// There since the clock was set from a source of time (systemd-timesyncd.service(8)).
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// What the clocks show.
pub fn now() -> Timestamp {
    Timestamp {
        realtime_ns: nanoseconds(ClockId::Realtime),
        boottime_ns: nanoseconds(ClockId::Boottime),
        is_synchronised: Path::new(SYNCHRONISED).exists(),
    }
}

/// `CLOCK_BOOTTIME`, nanoseconds.
pub fn boottime_ns() -> u64 {
    nanoseconds(ClockId::Boottime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    // Before 1970 is 1970.
    seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanoseconds.unwrap_or(0))
}
