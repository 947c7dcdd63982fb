//! Conditions: what must be so, besides the device itself, for a rule to apply.

mod argument;
mod time;

use core::fmt;
use core::time::Duration;

pub use argument::Probability;
pub use time::{TimeOfDay, TimeWindow};

use crate::cursor::{Cursor, Fault};
use crate::error::Problem;
use crate::rule::Rule;
use crate::value::Value;

/// A condition, maybe negated. Shown as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    negated: bool,
    test: Test,
    /// The bytes between the parentheses, which USBGuard prints as they are.
    argument: Option<Vec<u8>>,
}

/// What a condition tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// `allowed-matches(query)`: an allowed device has the attributes of this rule.
    AllowedMatches(Box<Rule>),
    /// `localtime(HH:MM[:SS][-HH:MM[:SS]])`: the window is open.
    LocalTime(TimeWindow),
    /// `random[(p)]`: true with this probability, 0.5 if none is written.
    Random(Probability),
    /// `rule-applied[(t)]`: the rule has matched a device, within this time if one is written.
    RuleApplied(Option<Duration>),
    /// `rule-evaluated[(t)]`: the rule was asked about a device, within this time if one is written.
    RuleEvaluated(Option<Duration>),
    /// `true` and `false`.
    Constant(bool),
}

impl Condition {
    /// Whether the result is turned round.
    pub const fn is_negated(&self) -> bool {
        self.negated
    }

    /// What is tested.
    pub const fn test(&self) -> &Test {
        &self.test
    }
}

impl Test {
    const fn name(&self) -> &'static str {
        match self {
            Self::AllowedMatches(_) => "allowed-matches",
            Self::LocalTime(_) => "localtime",
            Self::Random(_) => "random",
            Self::RuleApplied(_) => "rule-applied",
            Self::RuleEvaluated(_) => "rule-evaluated",
            Self::Constant(true) => "true",
            Self::Constant(false) => "false",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let negation = if self.negated { "!" } else { "" };
        write!(f, "{negation}{}", self.test.name())?;
        match &self.argument {
            // The parser makes sure that the bytes are text.
            Some(argument) => write!(f, "({})", String::from_utf8_lossy(argument)),
            None => Ok(()),
        }
    }
}

impl Value for Condition {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let expected = cursor.expected("a condition, as true or !localtime(22:00-06:00)");
        let negated = cursor.eat(b'!');
        let start = cursor.offset();
        let word = cursor.word();
        if !word.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'-') {
            return Err(expected);
        }
        let argument = argument::read(cursor)?;
        let test = argument::test(word, argument).map_err(|problem| {
            let is_of_argument = !matches!(problem, Problem::UnknownCondition(_));
            // Behind the parenthesis, if there is one.
            let shift = if is_of_argument && argument.is_some() { word.len() + 1 } else { 0 };
            Fault { offset: start + shift, problem }
        })?;
        Ok(Self { negated, test, argument: argument.map(<[u8]>::to_vec) })
    }
}
