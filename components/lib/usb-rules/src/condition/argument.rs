//! Arguments of conditions.

use core::time::Duration;

use super::Test;
use super::time::{TimeWindow, number};
use crate::cursor::{Cursor, Fault};
use crate::error::Problem;
use crate::rule::query_in_condition;

/// A probability, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probability(f64);

/// It is never NaN.
impl Eq for Probability {}

impl Probability {
    const HALF: Self = Self(0.5);

    /// A number from 0 to 1.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// The number.
    pub const fn value(self) -> f64 {
        self.0
    }
}

/// Reads `(argument)`, if there is one. It ends at the first `)` that no backslash is before, even
/// if that is within a string: this is USBGuard's grammar.
pub(super) fn read<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, Fault> {
    let open = cursor.fault(Problem::ArgumentNotClosed);
    if !cursor.eat(b'(') {
        return Ok(None);
    }
    let start = cursor.offset();
    loop {
        let before = cursor.since(start);
        match cursor.peek() {
            None => return Err(open),
            Some(b'\r' | b'\n') => return Err(cursor.fault(Problem::LineBreak)),
            Some(b'\\') => {
                cursor.next();
                cursor.next();
            }
            Some(byte) => {
                cursor.next();
                if byte == b')' {
                    return Ok(Some(before));
                }
            }
        }
    }
}

/// What the condition of this name and argument tests.
pub(super) fn test(word: &[u8], argument: Option<&[u8]>) -> Result<Test, Problem> {
    let constant = |value: bool, condition| match argument {
        None => Ok(Test::Constant(value)),
        Some(_) => Err(wrong(condition, "takes no argument")),
    };
    match word {
        b"allowed-matches" => allowed_matches(argument),
        b"localtime" => local_time(argument).map(Test::LocalTime),
        b"random" => random(argument).map(Test::Random),
        b"rule-applied" => elapsed("rule-applied", argument).map(Test::RuleApplied),
        b"rule-evaluated" => elapsed("rule-evaluated", argument).map(Test::RuleEvaluated),
        b"true" => constant(true, "true"),
        b"false" => constant(false, "false"),
        word => Err(Problem::UnknownCondition(String::from_utf8_lossy(word).into_owned())),
    }
}

fn allowed_matches(argument: Option<&[u8]>) -> Result<Test, Problem> {
    const EXAMPLE: &str =
        "needs a query, as in allowed-matches(with-interface one-of { 03:00:01 })";
    let query = argument.ok_or_else(|| wrong("allowed-matches", EXAMPLE))?;
    // A condition is printed as it was written, so it must be text.
    if core::str::from_utf8(query).is_err() {
        return Err(wrong("allowed-matches", "write \\xHH for bytes that are not UTF-8"));
    }
    query_in_condition(query)
        .map(|rule| Test::AllowedMatches(Box::new(rule)))
        .map_err(|problem| Problem::Query(Box::new(problem)))
}

fn local_time(argument: Option<&[u8]>) -> Result<TimeWindow, Problem> {
    text(argument)
        .and_then(TimeWindow::parse)
        .ok_or_else(|| wrong("localtime", "needs a time, as in localtime(08:00-17:30)"))
}

fn random(argument: Option<&[u8]>) -> Result<Probability, Problem> {
    if argument.is_none() {
        return Ok(Probability::HALF);
    }
    text(argument)
        .and_then(|text| Probability::new(text.parse().ok()?))
        .ok_or_else(|| wrong("random", "needs a number from 0 to 1, as in random(0.25)"))
}

fn elapsed(condition: &'static str, argument: Option<&[u8]>) -> Result<Option<Duration>, Problem> {
    if argument.is_none() {
        return Ok(None);
    }
    text(argument)
        .and_then(duration)
        .map(Some)
        .ok_or_else(|| wrong(condition, "needs a duration, as HH:MM:SS, HH:MM or seconds"))
}

/// Reads `HH:MM:SS`, `HH:MM` or `SS`; hours and seconds alone may have more digits.
fn duration(text: &str) -> Option<Duration> {
    let parts = text.split(':').map(number).collect::<Option<Vec<u32>>>()?;
    let sixtieth = |part: u32| (part < 60).then(|| u64::from(part));
    let seconds = match *parts.as_slice() {
        [seconds] => u64::from(seconds),
        [hours, minutes] => (u64::from(hours) * 60 + sixtieth(minutes)?) * 60,
        [hours, minutes, seconds] => {
            (u64::from(hours) * 60 + sixtieth(minutes)?) * 60 + sixtieth(seconds)?
        }
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

fn text(argument: Option<&[u8]>) -> Option<&str> {
    core::str::from_utf8(argument?).ok()
}

fn wrong(condition: &'static str, problem: &str) -> Problem {
    Problem::ConditionArgument { condition, problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let cases = [
            ("5", Some(5)),
            ("90", Some(90)),
            ("0:05", Some(300)),
            ("36:00", Some(36 * 3600)),
            ("01:02:03", Some(3723)),
            ("1:60", None),
            ("1:00:60", None),
            ("1:2:3:4", None),
            ("", None),
            ("-5", None),
            ("5s", None),
            ("99999999999", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(duration(text), seconds.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn probabilities_are_between_0_and_1() {
        for (text, value) in [("0", 0.0), ("1", 1.0), (".5", 0.5), ("0.1666", 0.1666)] {
            assert_eq!(random(Some(text.as_bytes())), Ok(Probability(value)));
        }
        for bad in ["", "-0.1", "1.1", "NaN", "inf", "0,5", " 0.5"] {
            assert!(random(Some(bad.as_bytes())).is_err(), "{bad:?}");
        }
    }
}
