//! Operators on sets of values.

use core::fmt;

/// How the values of a rule and the values of a device must be related.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetOperator {
    /// The device has every value of the rule, and maybe others.
    AllOf,
    /// The device has at least one value of the rule.
    OneOf,
    /// The device has no value of the rule.
    NoneOf,
    /// The device has the values of the rule and no others, as often as the rule has them.
    Equals,
    /// The same, in the same order.
    EqualsOrdered,
    /// The device has no value but those of the rule.
    MatchAll,
}

impl SetOperator {
    /// Every operator.
    pub const ALL: [Self; 6] =
        [Self::AllOf, Self::OneOf, Self::NoneOf, Self::Equals, Self::EqualsOrdered, Self::MatchAll];

    /// The word in a rule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllOf => "all-of",
            Self::OneOf => "one-of",
            Self::NoneOf => "none-of",
            Self::Equals => "equals",
            Self::EqualsOrdered => "equals-ordered",
            Self::MatchAll => "match-all",
        }
    }

    pub(crate) fn from_word(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.name().as_bytes() == word)
    }
}

impl fmt::Display for SetOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
