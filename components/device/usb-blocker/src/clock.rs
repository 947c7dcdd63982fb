//! The time, as far as it is known.

use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_usb_rules::TimeOfDay;
use rustix::time::{ClockId, clock_gettime};

/// When the blocker is asked, and under which circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since boot, sleep included; never jumps.
    pub uptime: Duration,
    /// Local time of day; none while the clock is not set.
    pub local_time: Option<TimeOfDay>,
    /// Records of further decisions can be taken; without that nothing is let in.
    pub may_allow: bool,
}

/// Reads the system's clocks.
#[derive(Clone, Debug)]
pub struct Clock {
    set_by: [PathBuf; 2],
}

impl Clock {
    /// A clock that is taken to be set when an RTC set it at boot, or when it was synchronised.
    pub fn new(sysfs: &Path) -> Self {
        let rtc = sysfs.join("class/rtc/rtc0/hctosys");
        Self { set_by: [rtc, "/run/systemd/timesync/synchronized".into()] }
    }

    /// Time since boot.
    pub fn uptime(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
        seconds + Duration::from_nanos(time.tv_nsec.unsigned_abs())
    }

    /// Local time of day, if the clock is set.
    pub fn local_time(&self) -> Option<TimeOfDay> {
        let [rtc, synchronised] = &self.set_by;
        let is_set = || std::fs::read(rtc).is_ok_and(|text| text.starts_with(b"1"));
        if !is_set() && !synchronised.exists() {
            return None;
        }
        local_time(clock_gettime(ClockId::Realtime).tv_sec)
    }
}

/// The C library knows the time zone, `/etc/localtime`, and its changes.
#[allow(unsafe_code)]
fn local_time(seconds: i64) -> Option<TimeOfDay> {
    unsafe extern "C" {
        /// POSIX, time.h; the crate `libc` leaves it out for Linux.
        fn tzset();
    }
    let mut parts = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both read the environment, which this process never changes (it starts no code that
    // calls setenv); `localtime_r` writes the whole structure where it does not return null, and
    // keeps neither pointer.
    let parts = unsafe {
        tzset();
        if libc::localtime_r(&raw const seconds, parts.as_mut_ptr()).is_null() {
            return None;
        }
        parts.assume_init()
    };
    let part = |value: i32| u8::try_from(value).ok();
    // A leap second counts to the one before it.
    TimeOfDay::new(part(parts.tm_hour)?, part(parts.tm_min)?, part(parts.tm_sec)?.min(59))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_clock_has_no_time_of_day() {
        let sysfs = tempfile::tempdir().unwrap();
        let clock = Clock { set_by: [sysfs.path().join("rtc"), sysfs.path().join("synchronized")] };
        assert_eq!(clock.local_time(), None);
        std::fs::write(sysfs.path().join("rtc"), "0\n").unwrap();
        assert_eq!(clock.local_time(), None);
        std::fs::write(sysfs.path().join("rtc"), "1\n").unwrap();
        assert!(clock.local_time().is_some());
        std::fs::remove_file(sysfs.path().join("rtc")).unwrap();
        std::fs::write(sysfs.path().join("synchronized"), "").unwrap();
        assert!(clock.local_time().is_some());
        assert!(clock.uptime() > Duration::ZERO);
    }

    #[test]
    fn a_second_later_is_a_second_later() {
        let one = local_time(1_700_000_000).unwrap();
        assert_eq!(local_time(1_700_000_001).unwrap(), one.plus(1));
    }
}
