//! What time it is for a device whose clock may have lost it.
//!
//! Before a server has told the time, all that is known is a floor: the highest of the real time
//! clock, the image's build time and the latest time an authenticated server told. Against a floor
//! only the end of a certificate's validity can be judged; a certificate that starts later may
//! simply be younger than the image. After that, the server's time counts on.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where time comes from.
pub trait TimeSource: Send + Sync {
    /// The system's clock, in seconds since 1970.
    fn wall(&self) -> u64;
    /// A clock that only moves forward.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemTimeSource {
    start: Instant,
}

impl Default for SystemTimeSource {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl TimeSource for SystemTimeSource {
    fn wall(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Validity of a certificate, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub not_before: u64,
    /// Its last second.
    pub not_after: u64,
}

/// Why a server's time was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeRefused {
    /// Earlier than the image.
    #[error("the server's time {} is before the image was built; set the server's clock", rfc3339(*.0))]
    BeforeImage(u64),
    /// A time at which the server's own certificate would not be valid.
    #[error("the server's time {} is outside its own certificate's validity; set its clock", rfc3339(*.0))]
    OutsideCertificate(u64),
}

/// The device's idea of the time; shared by everything that judges certificates.
pub struct Clock {
    source: Box<dyn TimeSource>,
    build_time: u64,
    told: Mutex<Told>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    last_seen: u64,
    /// The server's time and the monotonic time when it was told.
    synchronised: Option<(u64, Duration)>,
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("now", &rfc3339(self.now())).finish_non_exhaustive()
    }
}

impl Clock {
    /// A clock that knows when the image was built (seconds since 1970).
    pub fn new(source: Box<dyn TimeSource>, build_time: u64) -> Self {
        Self { source, build_time, told: Mutex::default() }
    }

    /// Raises the floor to a time that an authenticated server told earlier.
    pub fn remember(&self, last_seen: u64) {
        self.with(|told| told.last_seen = told.last_seen.max(last_seen));
    }

    /// Takes the time from an authenticated server, whose certificate has this validity. Returns
    /// what to remember for the next start.
    pub fn synchronise(&self, time: u64, certificate: Validity) -> Result<u64, TimeRefused> {
        if time < self.build_time {
            return Err(TimeRefused::BeforeImage(time));
        }
        if time < certificate.not_before || time > certificate.not_after {
            return Err(TimeRefused::OutsideCertificate(time));
        }
        let monotonic = self.source.monotonic();
        Ok(self.with(|told| {
            told.last_seen = told.last_seen.max(time);
            told.synchronised = Some((time, monotonic));
            told.last_seen
        }))
    }

    /// Whether a server has told the time since the start.
    pub fn is_synchronised(&self) -> bool {
        self.with(|told| told.synchronised.is_some())
    }

    /// The best estimate of the time, in seconds since 1970; a lower bound until synchronised.
    pub fn now(&self) -> u64 {
        let told = self.with(|told| *told);
        match told.synchronised {
            Some((time, at)) => {
                time.saturating_add(self.source.monotonic().saturating_sub(at).as_secs())
            }
            None => self.source.wall().max(self.build_time).max(told.last_seen),
        }
    }

    /// The time at which to judge a certificate chain whose latest start of validity is
    /// `latest_start`.
    pub fn judging_time(&self, latest_start: u64) -> u64 {
        if self.is_synchronised() { self.now() } else { self.now().max(latest_start) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Told) -> T) -> T {
        act(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A time in seconds since 1970 as people and logs read it.
pub fn rfc3339(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{seconds} seconds after 1970"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const BUILT: u64 = 1_763_800_000;
    const YEAR: u64 = 365 * 86_400;
    const VALID: Validity = Validity { not_before: BUILT + 10, not_after: BUILT + YEAR };

    struct Fixed {
        wall: u64,
        monotonic: Arc<AtomicU64>,
    }

    impl TimeSource for Fixed {
        fn wall(&self) -> u64 {
            self.wall
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.monotonic.load(Ordering::Relaxed))
        }
    }

    fn clock(wall: u64) -> (Clock, Arc<AtomicU64>) {
        let monotonic = Arc::new(AtomicU64::new(7));
        let source = Fixed { wall, monotonic: Arc::clone(&monotonic) };
        (Clock::new(Box::new(source), BUILT), monotonic)
    }

    #[test]
    fn the_floor_is_the_highest_of_three() {
        let table = [
            ("clock at 1970", 0, 0, BUILT),
            ("clock right", BUILT + 50, BUILT + 20, BUILT + 50),
            ("clock behind the last time seen", BUILT + 50, BUILT + 90, BUILT + 90),
        ];
        for (name, wall, last_seen, floor) in table {
            let (clock, _) = clock(wall);
            clock.remember(last_seen);
            assert_eq!(clock.now(), floor, "{name}");
        }
    }

    #[test]
    fn a_certificate_younger_than_the_clock_is_judged_at_its_start() {
        let (clock, _) = clock(0);
        assert_eq!(clock.judging_time(BUILT - 5), BUILT);
        assert_eq!(clock.judging_time(BUILT + YEAR), BUILT + YEAR);
        clock.synchronise(BUILT + 100, VALID).unwrap();
        assert_eq!(clock.judging_time(BUILT + YEAR), BUILT + 100);
    }

    #[test]
    fn the_servers_time_counts_on_and_is_remembered() {
        let (clock, monotonic) = clock(0);
        assert!(!clock.is_synchronised());
        assert_eq!(clock.synchronise(BUILT + 100, VALID), Ok(BUILT + 100));
        monotonic.fetch_add(60, Ordering::Relaxed);
        assert_eq!(clock.now(), BUILT + 160);
        assert_eq!(clock.synchronise(BUILT + 150, VALID), Ok(BUILT + 150));
    }

    #[test]
    fn time_seen_never_goes_back() {
        let (clock, _) = clock(0);
        clock.remember(BUILT + 500);
        assert_eq!(clock.synchronise(BUILT + 100, VALID), Ok(BUILT + 500));
    }

    #[test]
    fn a_time_that_cannot_be_right_is_refused() {
        let (clock, _) = clock(0);
        let table = [
            (BUILT - 1, TimeRefused::BeforeImage(BUILT - 1)),
            (BUILT + 5, TimeRefused::OutsideCertificate(BUILT + 5)),
            (BUILT + 2 * YEAR, TimeRefused::OutsideCertificate(BUILT + 2 * YEAR)),
        ];
        for (time, refusal) in table {
            assert_eq!(clock.synchronise(time, VALID), Err(refusal));
        }
        assert!(!clock.is_synchronised());
        assert_eq!(clock.now(), BUILT);
    }

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(rfc3339(BUILT), "2025-11-22T08:26:40Z");
        assert_eq!(rfc3339(u64::MAX), "18446744073709551615 seconds after 1970");
    }
}
