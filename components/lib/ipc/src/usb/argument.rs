//! What arguments of calls mean. Nothing of it is said to a caller who may not make the call.

use std::time::Duration;

use holdfast_usb_rules::{
    Document, MAX_DOCUMENT_BYTES, ParseError, Position, Problem, Rule, RuleId, Target, Verdict,
};

use super::{Lasting, Parameter};
use crate::{CallError, ErrorKind};

/// The longest time that a decision may be made for.
pub const LONGEST: Duration = Duration::from_secs(86_400);

/// Stands for the end of the rules where a rule's number is asked for (USBGuard's `LastID`).
pub const RULE_LAST: u32 = u32::MAX - 2;

fn invalid(message: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::InvalidArgs, message)
}

pub(super) fn verdict(name: &str) -> Result<Verdict, CallError> {
    Verdict::from_name(name)
        .ok_or_else(|| invalid(format!("{name:?} is not a target; it is allow, block or reject")))
}

/// How long a decision holds; no seconds for as long as the device is there.
pub(super) fn lasting(seconds: u32, permanent: bool) -> Result<Lasting, CallError> {
    match (seconds, permanent) {
        (0, false) => Ok(Lasting::Presence),
        (0, true) => Ok(Lasting::Permanent),
        (_, false) => within(seconds).map(Lasting::For),
        (_, true) => Err(invalid(format!(
            "a permanent decision does not end after {seconds} seconds; give 0 seconds, or do not \
             make it permanent"
        ))),
    }
}

/// A length of time that must be there.
pub(super) fn within(seconds: u32) -> Result<Duration, CallError> {
    let time = Duration::from_secs(seconds.into());
    if time.is_zero() || time > LONGEST {
        return Err(invalid(format!("{seconds} seconds; it is 1 to {}", LONGEST.as_secs())));
    }
    Ok(time)
}

/// One rule that a policy can have.
pub(super) fn rule(text: &str) -> Result<Rule, CallError> {
    let at_start = |problem| invalid(ParseError { line: 1, column: 1, problem }.to_string());
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(at_start(Problem::TooLong(text.len())));
    }
    let rule = Rule::parse(text.as_bytes()).map_err(|error| invalid(error.to_string()))?;
    match Verdict::of(rule.target) {
        Some(_) => Ok(rule),
        None => Err(at_start(Problem::TargetOfQuery(rule.target.name()))),
    }
}

/// A rules file.
pub(super) fn document(text: &str) -> Result<Document, CallError> {
    Document::parse(text.as_bytes()).map_err(|errors| invalid(errors.to_string()))
}

/// A query for devices; every device if it is empty.
pub(super) fn query(text: &str) -> Result<Rule, CallError> {
    if text.trim_ascii().is_empty() {
        return Ok(Rule::new(Target::Match));
    }
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(invalid(Problem::TooLong(text.len()).to_string()));
    }
    Rule::parse_query(text.as_bytes()).map_err(|error| invalid(error.to_string()))
}

/// Where a rule goes, by the number of the one before it.
pub(super) fn position(after: u32) -> Position {
    match after {
        0 => Position::First,
        RULE_LAST => Position::Last,
        id => Position::After(RuleId(id)),
    }
}

/// The same in words.
pub(super) fn place(after: u32) -> String {
    match position(after) {
        Position::First => "first".to_owned(),
        Position::Last => "last".to_owned(),
        Position::After(RuleId(id)) => format!("after rule {id}"),
    }
}

pub(super) fn parameter(name: &str) -> Result<Parameter, CallError> {
    Parameter::from_name(name).ok_or_else(|| {
        let known = Parameter::ALL.map(Parameter::name).join(", ");
        invalid(format!("{name:?} is not a parameter; known are {known}"))
    })
}

pub(super) fn value(parameter: Parameter, value: &str) -> Result<&'static str, CallError> {
    parameter.values().into_iter().find(|known| *known == value).ok_or_else(|| {
        let known = parameter.values().join(", ");
        invalid(format!("{value:?} is not a value of {}; known are {known}", parameter.name()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T, CallError>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgs);
        error.message
    }

    #[test]
    fn how_long_a_decision_holds() {
        let ten = Duration::from_secs(10);
        assert_eq!(lasting(0, false), Ok(Lasting::Presence));
        assert_eq!(lasting(0, true), Ok(Lasting::Permanent));
        assert_eq!(lasting(10, false), Ok(Lasting::For(ten)));
        assert_eq!(lasting(86_400, false), Ok(Lasting::For(LONGEST)));
        assert_eq!(message(lasting(86_401, false)), "86401 seconds; it is 1 to 86400");
        assert!(message(lasting(10, true)).contains("permanent"));
        assert_eq!(within(10), Ok(ten));
        assert_eq!(message(within(0)), "0 seconds; it is 1 to 86400");
    }

    #[test]
    fn a_rule_of_a_policy() {
        assert_eq!(rule("allow 1d6b:*  # hubs").unwrap().to_string(), "allow id 1d6b:*");
        for (text, part) in [
            ("", "line 1, column 1: the rule is empty"),
            ("allow serail \"1\"", "line 1, column 7: unknown attribute \"serail\""),
            ("match 1d6b:*", "line 1, column 1: the target match is for queries only"),
            ("device", "line 1, column 1: the target device is for queries only"),
            ("allow\nblock", "line 1, column 6: a line break"),
            (&"#".repeat(MAX_DOCUMENT_BYTES + 1), "over the limit"),
        ] {
            let error = message(rule(text));
            assert!(error.starts_with(part) || error.contains("over the limit"), "{error}");
        }
    }

    #[test]
    fn a_file_of_rules() {
        assert_eq!(document("# none\n\nallow\nblock\n").unwrap().rules().count(), 2);
        let error = message(document("allow\nmatch\nallow x\n"));
        assert!(error.starts_with("line 2, column 1: the target match"), "{error}");
        assert!(error.contains("\nline 3, column 7: "), "{error}");
        assert!(message(document(&"#".repeat(MAX_DOCUMENT_BYTES + 1))).contains("over the limit"));
    }

    #[test]
    fn a_query_may_lack_its_target() {
        let text = |query: &str| super::query(query).unwrap().to_string();
        assert_eq!(text(" "), "match");
        assert_eq!(text("block"), "block");
        assert_eq!(text("with-interface 08:*:*"), "match with-interface 08:*:*");
        assert!(message(query("with-interface 8")).starts_with("line 1, column"));
    }

    #[test]
    fn places_have_the_numbers_that_usbguard_gives_them() {
        assert_eq!(position(0), Position::First);
        assert_eq!(position(4_294_967_293), Position::Last);
        assert_eq!(position(7), Position::After(RuleId(7)));
    }

    #[test]
    fn parameters_and_their_values() {
        let implicit = parameter("ImplicitPolicyTarget").unwrap();
        assert_eq!(value(implicit, "reject"), Ok("reject"));
        assert!(
            message(value(implicit, "apply-policy")).ends_with("known are allow, block, reject")
        );
        let error = message(parameter("RuleFile"));
        assert!(error.ends_with("known are InsertedDevicePolicy, ImplicitPolicyTarget"), "{error}");
    }
}
