//! Times of day and windows of them.

use core::fmt;

/// Seconds of a day of 24 hours.
const DAY: u32 = 24 * 60 * 60;

/// A local time of day, to the second. Kept as seconds since midnight, 0 to 86399.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u32);

impl TimeOfDay {
    /// Midnight, with which a day starts.
    pub const MIDNIGHT: Self = Self(0);

    /// Hours 0 to 23, minutes and seconds 0 to 59.
    pub fn new(hour: u8, minute: u8, second: u8) -> Option<Self> {
        let valid = hour < 24 && minute < 60 && second < 60;
        let seconds = (u32::from(hour) * 60 + u32::from(minute)) * 60 + u32::from(second);
        valid.then_some(Self(seconds))
    }

    /// This many seconds after midnight, 0 to 86399.
    pub fn from_seconds(seconds: u32) -> Option<Self> {
        (seconds < DAY).then_some(Self(seconds))
    }

    /// Seconds after midnight.
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// Later by some seconds, on the next days if need be.
    #[must_use]
    pub const fn plus(self, seconds: u32) -> Self {
        // Both are below 2^17.
        Self((self.0 + seconds % DAY) % DAY)
    }

    /// How many seconds from this time to the next that it is `other`: 1 to 86400.
    pub(crate) const fn until(self, other: Self) -> u32 {
        match (other.0 + DAY - self.0) % DAY {
            0 => DAY,
            seconds => seconds,
        }
    }

    /// Reads `H:MM`, `HH:MM` or `HH:MM:SS`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':').map(number);
        let (hour, minute) = (parts.next()??, parts.next()??);
        let second = parts.next().unwrap_or(Some(0))?;
        let end = parts.next().is_none();
        let part = |number: u32| u8::try_from(number).ok();
        Self::new(part(hour)?, part(minute)?, part(second)?).filter(|_| end)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        write!(f, "{hour:02}:{minute:02}:{second:02}")
    }
}

/// A window that opens and closes every day: from the start of the second `begin` to the end of
/// the second `end`. It goes over midnight if `end` is earlier than `begin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeWindow {
    /// Its first second.
    pub begin: TimeOfDay,
    /// Its last second.
    pub end: TimeOfDay,
}

impl TimeWindow {
    /// Whether the window is open.
    pub fn contains(self, time: TimeOfDay) -> bool {
        if self.begin <= self.end {
            (self.begin..=self.end).contains(&time)
        } else {
            time >= self.begin || time <= self.end
        }
    }

    /// The seconds with which it opens and with which it has closed.
    pub(crate) fn edges(self) -> [TimeOfDay; 2] {
        [self.begin, self.end.plus(1)]
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (begin, end) = text.split_once('-').unwrap_or((text, text));
        Some(Self { begin: TimeOfDay::parse(begin)?, end: TimeOfDay::parse(end)? })
    }
}

impl fmt::Display for TimeWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.begin, self.end)
    }
}

/// Reads a number of decimal digits alone: no sign, no blanks.
pub(super) fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> TimeOfDay {
        TimeOfDay::parse(text).unwrap()
    }

    #[test]
    fn times_are_read() {
        assert_eq!(at("2:00"), TimeOfDay::new(2, 0, 0).unwrap());
        assert_eq!(at("23:59:59").seconds(), DAY - 1);
        assert_eq!(at("07:05:09").to_string(), "07:05:09");
        for bad in [
            "",
            "2",
            "24:00",
            "2:60",
            "2:00:60",
            "2:00:00:00",
            "+2:00",
            "2: 00",
            "-1:00",
            "2:",
            ":2",
        ] {
            assert_eq!(TimeOfDay::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn windows_hold_their_first_and_last_second() {
        let day = TimeWindow::parse("08:00-17:00").unwrap();
        let night = TimeWindow::parse("22:00-06:00").unwrap();
        let cases = [
            ("07:59:59", false, false),
            ("08:00", true, false),
            ("17:00", true, false),
            ("17:00:01", false, false),
            ("21:59:59", false, false),
            ("22:00", false, true),
            ("23:59:59", false, true),
            ("0:00", false, true),
            ("06:00", false, true),
            ("06:00:01", false, false),
        ];
        for (time, in_day, in_night) in cases {
            assert_eq!(day.contains(at(time)), in_day, "{time}");
            assert_eq!(night.contains(at(time)), in_night, "{time}");
        }
    }

    #[test]
    fn a_window_changes_at_its_edges_and_nowhere_else() {
        for text in ["08:00-17:00", "22:00-06:00", "12:00", "00:00-23:59:59", "23:59:59-00:00"] {
            let window = TimeWindow::parse(text).unwrap();
            for second in 0..DAY {
                let (now, next) = (TimeOfDay(second), TimeOfDay(second).plus(1));
                if window.contains(now) != window.contains(next) {
                    assert!(window.edges().contains(&next), "{text} at {next}");
                }
            }
        }
        assert_eq!(at("23:00").until(at("1:00")), 7200);
        assert_eq!(at("1:00").until(at("1:00")), DAY);
    }
}
