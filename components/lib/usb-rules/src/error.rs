//! What can be wrong with a rule.

use core::fmt;

use crate::rule::AttributeName;

/// Where a rule's text is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what is expected.
    pub problem: Problem,
}

/// Every error of a rules file, in the order of its lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ParseErrors(pub(crate) Vec<ParseError>);

impl ParseErrors {
    /// The errors.
    pub fn as_slice(&self) -> &[ParseError] {
        &self.0
    }
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

/// What is wrong at one place of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A rule without text.
    #[error("the rule is empty; a rule starts with allow, block or reject")]
    Empty,
    /// The first word is no target.
    #[error(
        "unknown target {0:?}; a rule starts with allow, block or reject (a query also with match or device)"
    )]
    UnknownTarget(String),
    /// `match` and `device` say nothing about what to do with a device.
    #[error("the target {0} is for queries only; a rule of a policy is allow, block or reject")]
    TargetOfQuery(&'static str),
    /// Text where an attribute starts that does not look like one.
    #[error("unexpected {0}; expected an attribute, as in: allow id 1d6b:0002 via-port \"usb1\"")]
    Unexpected(String),
    /// The name of an attribute that does not exist.
    #[error("unknown attribute {name:?}; known are {known}", known = AttributeName::LIST)]
    UnknownAttribute {
        /// The word that was found.
        name: String,
    },
    /// An attribute that the rule already has.
    #[error(
        "the attribute {0} is there twice; put the values into one set, as in: {0} one-of {{ ... }}"
    )]
    DuplicateAttribute(AttributeName),
    /// No blank between two parts.
    #[error("expected a blank after {0}")]
    BlankMissing(&'static str),
    /// A value of the wrong form, or none.
    #[error("expected {expected}; found {found}")]
    Value {
        /// The form of the value, with an example.
        expected: &'static str,
        /// What is there instead.
        found: String,
    },
    /// An operator that is not followed by a set.
    #[error("expected \"{{\" after the set operator {0}")]
    SetMissing(&'static str),
    /// A word before `{` that is no operator.
    #[error(
        "unknown set operator {0:?}; known are all-of, one-of, none-of, equals, equals-ordered, match-all"
    )]
    UnknownOperator(String),
    /// `{ }`.
    #[error("the set is empty; leave the attribute out to match every device")]
    EmptySet,
    /// A set without its end.
    #[error("expected a blank and the next value, or \"}}\"; found {0}")]
    SetNotClosed(String),
    /// A string without its end.
    #[error("the string has no closing '\"' on this line")]
    StringNotClosed,
    /// Line breaks do not belong into a rule.
    #[error(
        "a line break within the rule; end lines by LF alone, and write \\x0d or \\x0a in a string"
    )]
    LineBreak,
    /// An escape sequence that the language does not have.
    #[error("unknown escape sequence {0:?}; known are \\\", \\\\ and \\xHH")]
    Escape(String),
    /// `*:PID`.
    #[error("a product ID is of no use without its vendor ID; write *:* or VENDOR:PRODUCT")]
    ProductWithoutVendor,
    /// `CC:*:PP`.
    #[error("a protocol is of no use without its subclass; write CC:*:* or CC:SS:PP")]
    ProtocolWithoutSubclass,
    /// A condition that does not exist.
    #[error(
        "unknown condition {0:?}; known are allowed-matches, localtime, random, rule-applied, rule-evaluated, true, false"
    )]
    UnknownCondition(String),
    /// An argument in parentheses that the condition does not take, lacks, or cannot read.
    #[error("condition {condition}: {problem}")]
    ConditionArgument {
        /// The condition.
        condition: &'static str,
        /// What is wrong with its argument.
        problem: String,
    },
    /// The query of `allowed-matches`.
    #[error("the query of allowed-matches: {0}")]
    Query(Box<Problem>),
    /// `(` without `)`.
    #[error(
        "the argument of the condition has no closing \")\"; write \\x29 for a \")\" in a string"
    )]
    ArgumentNotClosed,
    /// Over [`MAX_CONDITIONS`](crate::MAX_CONDITIONS).
    #[error("more than {limit} conditions", limit = crate::MAX_CONDITIONS)]
    TooManyConditions,
    /// Interfaces are only let in on a device that is.
    #[error("interface-policy is of use with the target allow only")]
    InterfacePolicyWithoutAllow,
    /// Neither allow nor block where an interface policy has one of them.
    #[error("expected allow or block; found {0}")]
    InterfaceTarget(String),
    /// A file over [`MAX_DOCUMENT_BYTES`](crate::MAX_DOCUMENT_BYTES), or too many rules.
    #[error("the rules have {0} bytes, over the limit of {limit}", limit = crate::MAX_DOCUMENT_BYTES)]
    TooLong(usize),
}
