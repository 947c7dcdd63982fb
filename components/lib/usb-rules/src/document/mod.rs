//! A rules file that is edited without touching what is not meant: comments, blank lines and the
//! other rules stay byte for byte.

mod error;

use core::fmt;

pub use error::EditError;

use crate::cursor::Fault;
use crate::error::{ParseError, ParseErrors, Problem};
use crate::rule::{self, Rule, Verdict};

/// Most bytes of a rules file: tens of thousands of rules.
pub const MAX_DOCUMENT_BYTES: usize = 8 * 1024 * 1024;
/// Errors that are reported of one file: the first ones say what is wrong with it.
const MAX_ERRORS: usize = 20;

/// Number of a rule within a document, from 1. It stays with the rule while others come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

impl RuleId {
    /// The highest id of a rule; USBGuard's interface gives a meaning to the numbers above.
    const LAST: Self = Self(u32::MAX - 3);
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a rule is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Before every other rule, behind the comments at the head of the file.
    First,
    /// Directly behind this rule.
    After(RuleId),
    /// Behind every line.
    Last,
}

/// A rules file: rules with their ids, and all the bytes between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    lines: Vec<Line>,
    next_id: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// The line with its line break, if it has one.
    bytes: Vec<u8>,
    rule: Option<(RuleId, Rule)>,
    /// Where the comment behind the rule starts, with the blanks before it.
    comment: usize,
}

impl Default for Document {
    fn default() -> Self {
        Self { lines: Vec::new(), next_id: 1 }
    }
}

impl Document {
    /// Reads a rules file and numbers its rules from 1. A file with an error has no rules at all:
    /// a policy of which a part is left out is another policy.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseErrors> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            let problem = Problem::TooLong(bytes.len());
            return Err(ParseErrors(vec![ParseError { line: 1, column: 1, problem }]));
        }
        let mut document = Self::default();
        let mut errors = Vec::new();
        for (index, bytes) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            match document.line(bytes) {
                Ok(line) => document.lines.push(line),
                Err(fault) => errors.push(fault.at_line(bytes, index + 1)),
            }
            if errors.len() == MAX_ERRORS {
                break;
            }
        }
        if errors.is_empty() { Ok(document) } else { Err(ParseErrors(errors)) }
    }

    fn line(&mut self, bytes: &[u8]) -> Result<Line, Fault> {
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let rule::Line { rule, comment } = rule::line(text)?;
        let rule = rule.map(policy_rule).transpose()?;
        // No document has as many lines as there are ids.
        let rule = rule.map(|rule| (self.take_id().unwrap_or(RuleId::LAST), rule));
        Ok(Line { bytes: bytes.to_vec(), rule, comment })
    }

    fn take_id(&mut self) -> Result<RuleId, EditError> {
        let id = RuleId(self.next_id);
        if id > RuleId::LAST {
            return Err(EditError::IdsUsedUp);
        }
        self.next_id += 1;
        Ok(id)
    }

    /// The file, to be written in place of the old one.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| &line.bytes).copied().collect()
    }

    /// The rules in their order.
    pub fn rules(&self) -> impl Iterator<Item = (RuleId, &Rule)> {
        self.lines.iter().filter_map(|line| line.rule.as_ref().map(|(id, rule)| (*id, rule)))
    }

    /// The rules in their order, each with its line in the file: the number from 1, and its bytes
    /// without the line break.
    pub fn rules_with_lines(&self) -> impl Iterator<Item = (usize, &[u8], &Rule)> {
        let numbered = self.lines.iter().enumerate();
        numbered.filter_map(|(index, line)| {
            let bytes = line.bytes.strip_suffix(b"\n").unwrap_or(&line.bytes);
            line.rule.as_ref().map(|(_, rule)| (index + 1, bytes, rule))
        })
    }

    /// The rule of this id.
    pub fn get(&self, id: RuleId) -> Option<&Rule> {
        self.rules().find(|(other, _)| *other == id).map(|(_, rule)| rule)
    }

    /// The line of the rule in the file, from 1.
    pub fn line_number(&self, id: RuleId) -> Option<usize> {
        self.find(id).ok().map(|index| index + 1)
    }

    /// Puts a rule in, in canonical form, on a line of its own.
    pub fn insert(&mut self, rule: &Rule, position: Position) -> Result<RuleId, EditError> {
        let is_rule = |line: &Line| line.rule.is_some();
        let index = match position {
            Position::First => self.lines.iter().position(is_rule).unwrap_or(self.lines.len()),
            Position::After(id) => self.find(id)? + 1,
            Position::Last => self.lines.len(),
        };
        let text = rule.to_string();
        let rule = check(&text)?;
        let id = self.take_id()?;
        let before = index.checked_sub(1).and_then(|index| self.lines.get_mut(index));
        if let Some(before) = before.filter(|line| line.bytes.last() != Some(&b'\n')) {
            before.bytes.push(b'\n');
        }
        let comment = text.len();
        let bytes = format!("{text}\n").into_bytes();
        self.lines.insert(index, Line { bytes, rule: Some((id, rule)), comment });
        Ok(id)
    }

    /// Puts a rule behind every other.
    pub fn append(&mut self, rule: &Rule) -> Result<RuleId, EditError> {
        self.insert(rule, Position::Last)
    }

    /// Puts another rule in the place of one. Its id and the comment behind it stay.
    pub fn replace(&mut self, id: RuleId, rule: &Rule) -> Result<(), EditError> {
        let index = self.find(id)?;
        let text = rule.to_string();
        let rule = check(&text)?;
        if let Some(line) = self.lines.get_mut(index) {
            let behind = line.bytes.get(line.comment..).unwrap_or_default().to_vec();
            line.comment = text.len();
            line.bytes = [text.into_bytes(), behind].concat();
            line.rule = Some((id, rule));
        }
        Ok(())
    }

    /// Takes a rule away, with its line.
    pub fn remove(&mut self, id: RuleId) -> Result<Rule, EditError> {
        let index = self.find(id)?;
        let line = self.lines.remove(index);
        line.rule.map(|(_, rule)| rule).ok_or(EditError::NoSuchRule(id))
    }

    fn find(&self, id: RuleId) -> Result<usize, EditError> {
        let has_id = |line: &Line| line.rule.as_ref().is_some_and(|(other, _)| *other == id);
        self.lines.iter().position(has_id).ok_or(EditError::NoSuchRule(id))
    }
}

/// Reads back what will be written: a rule can also be put together by hand.
fn check(text: &str) -> Result<Rule, ParseError> {
    let rule = Rule::parse(text.as_bytes())?;
    policy_rule(rule).map_err(|fault| fault.at_line(text.as_bytes(), 1))
}

/// Lets through the targets that a policy may have.
fn policy_rule(rule: Rule) -> Result<Rule, Fault> {
    match Verdict::of(rule.target) {
        Some(_) => Ok(rule),
        None => Err(Fault { offset: 0, problem: Problem::TargetOfQuery(rule.target.name()) }),
    }
}
