//! Times of certificates.

use super::tlv::{Element, tag};

/// Seconds since 1970 of a `UTCTime` or `GeneralizedTime` in the form that RFC 5280, 4.1.2.5 asks
/// for; times before 1970 become 0.
pub fn unix_seconds(time: &Element<'_>) -> Option<u64> {
    let digits = time.value.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize, count: usize| {
        digits
            .get(from..from + count)
            .map(|digits| digits.iter().fold(0_i64, |n, digit| n * 10 + i64::from(digit - b'0')))
    };
    let (year, rest) = match (time.tag, digits.len()) {
        (tag::UTC_TIME, 12) => {
            let year = number(0, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, 2)
        }
        (tag::GENERALIZED_TIME, 14) => (number(0, 4)?, 4),
        _ => return None,
    };
    let (month, day) = (number(rest, 2)?, number(rest + 2, 2)?);
    let (hour, minute, second) = (number(rest + 4, 2)?, number(rest + 6, 2)?, number(rest + 8, 2)?);
    let valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !valid {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(u64::try_from(seconds).unwrap_or(0))
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, counted in years that start in March
/// so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_TO_1970: i64 = 719_468;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<u64> {
        unix_seconds(&Element { tag, value: text.as_bytes(), whole: &[] })
    }

    #[test]
    fn known_times() {
        for (tag, text, expected) in [
            (tag::UTC_TIME, "700101000000Z", 0),
            (tag::UTC_TIME, "491231235959Z", 2_524_607_999),
            (tag::UTC_TIME, "500101000000Z", 0),
            (tag::UTC_TIME, "240229120000Z", 1_709_208_000),
            (tag::GENERALIZED_TIME, "20000301000000Z", 951_868_800),
            (tag::GENERALIZED_TIME, "20251122093000Z", 1_763_803_800),
            (tag::GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(seconds(tag, text), Some(expected), "{text}");
        }
    }

    #[test]
    fn malformed_times() {
        for (tag, text) in [
            (tag::UTC_TIME, ""),
            (tag::UTC_TIME, "Z"),
            (tag::UTC_TIME, "700101000000"),
            (tag::UTC_TIME, "7001010000Z"),
            (tag::UTC_TIME, "701301000000Z"),
            (tag::UTC_TIME, "700100000000Z"),
            (tag::UTC_TIME, "700101240000Z"),
            (tag::UTC_TIME, "70010100000xZ"),
            (tag::GENERALIZED_TIME, "700101000000Z"),
            (tag::GENERALIZED_TIME, "20251122093000.5Z"),
            (tag::OCTET_STRING, "700101000000Z"),
        ] {
            assert_eq!(seconds(tag, text), None, "{text:?}");
        }
    }
}
