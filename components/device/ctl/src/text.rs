//! Text for terminals: no colours, no escapes, 80 columns.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const COLUMNS: usize = 80;

/// Replaces control characters: parts of these texts come from outside, and a console must not
/// be steered by them.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

/// A labelled text, broken at spaces, its further lines under the first.
pub(crate) fn field(label: &str, width: usize, text: &str) -> String {
    let mut lines = vec![format!("{label:width$}")];
    let mut empty = true;
    for word in printable(text).split_whitespace() {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if !empty && line + 1 + word.chars().count() > COLUMNS {
            lines.push(" ".repeat(width));
            empty = true;
        }
        if let Some(line) = lines.last_mut() {
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
        }
        empty = false;
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

/// A point in time and how far away it is, as in `2026-02-20T09:55:00Z (in 90 days)`.
pub(crate) fn moment(unix: u64, now: i64) -> String {
    let Some(time) =
        i64::try_from(unix).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok())
    else {
        return format!("{unix} seconds after 1970");
    };
    let written = time.format(&Rfc3339).unwrap_or_else(|_| time.to_string());
    let seconds = time.unix_timestamp() - now;
    let distance = span(seconds.unsigned_abs());
    match seconds {
        0.. => format!("{written} (in {distance})"),
        _ => format!("{written} ({distance} ago)"),
    }
}

/// A length of time in its largest unit.
pub(crate) fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7199 => (seconds / 60, "minute"),
        7200..=172_799 => (seconds / 3600, "hour"),
        _ => (seconds / 86400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_not_steered() {
        assert_eq!(printable("a\u{1b}[2Jb\tc\nd"), "a?[2Jb?c\nd");
    }

    #[test]
    fn long_texts_break_at_spaces() {
        let text = field("Error", 8, &"abcdefghi ".repeat(10));
        assert_eq!(
            text,
            format!(
                "Error   {}\n        {}",
                ["abcdefghi"; 7].join(" "),
                ["abcdefghi"; 3].join(" ")
            )
        );
        assert!(text.lines().all(|line| line.len() <= COLUMNS));
        assert_eq!(field("EK", 4, &"f".repeat(100)), format!("EK  {}", "f".repeat(100)));
        assert_eq!(field("EK", 4, ""), "EK");
    }

    #[test]
    fn moments() {
        let table = [
            (1000, 990, "1970-01-01T00:16:40Z (in 10 seconds)"),
            (1000, 1001, "1970-01-01T00:16:40Z (1 second ago)"),
            (90_000, 0, "1970-01-02T01:00:00Z (in 25 hours)"),
            (864_000, 0, "1970-01-11T00:00:00Z (in 10 days)"),
            (u64::MAX, 0, "18446744073709551615 seconds after 1970"),
        ];
        for (unix, now, text) in table {
            assert_eq!(moment(unix, now), text);
        }
    }
}
