//! Text for terminals: no colours, no escapes, 80 columns.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const COLUMNS: usize = 80;

/// Replaces control characters and direction marks: parts of these texts come from outside, and a
/// console must not be steered by them.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) && c != '\n' { '?' } else { c }).collect()
}

/// Whether a terminal does something with a character besides showing it.
fn steers(c: char) -> bool {
    let rearranges = matches!(c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}');
    c.is_control() || rearranges
}

/// Rows under their headings, two blanks between the columns. Cells are lines.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let clean = |cell: &str| printable(cell).replace('\n', "?");
    let rows = rows.iter().map(|row| row.each_ref().map(|cell| clean(cell)));
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The beginning of a text where it is longer than this many characters.
pub(crate) fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let start: String = text.chars().take(longest.saturating_sub(3)).collect();
    format!("{start}...")
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
    fn nothing_is_rearranged() {
        assert_eq!(printable("a\u{202e}b\u{2066}\u{200b}\u{fc}"), "a?b??\u{fc}");
    }

    #[test]
    fn a_table_keeps_its_columns() {
        let row = |name: &str, target: &str| [name.to_owned(), target.to_owned()];
        assert_eq!(
            table(["NAME", "TARGET"], &[row("a\nb\u{1b}[2J", "allow"), row("", ""), row("x", "y")]),
            "NAME     TARGET\na?b?[2J  allow\n\nx        y"
        );
        assert_eq!(table::<1>(["NAME"], &[]), "NAME");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abc...");
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
