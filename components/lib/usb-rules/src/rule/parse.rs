//! Text to rule.
//!
//! The grammar is USBGuard's, learned from its manual and its lists of good and bad rules:
//!
//! ```text
//! line      = blank* [ comment | rule ]
//! rule      = target [ blank+ device-id ] [ blank+ attr ( blank+ attr )* ] [ blank* comment ] blank*
//! attr      = name blank+ ( [ op blank+ ] "{" blank* value ( blank+ value )* blank* "}" | value )
//! comment   = "#" byte*
//! ```

use super::{AttributeName, MAX_CONDITIONS, Rule, SetOperator, Target, ValueSet, Verdict};
use crate::cursor::{Cursor, Fault};
use crate::error::{ParseError, Problem};
use crate::interface_policy::InterfacePolicy;
use crate::value::Value;

/// What a line holds.
pub(crate) struct Line {
    /// None of an empty line or one of a comment alone.
    pub(crate) rule: Option<Rule>,
    /// Where the comment starts, with the blanks before it; else the end of the line.
    pub(crate) comment: usize,
}

impl Rule {
    /// Reads a rule of a policy or a query.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        Self::read(text).map_err(|fault| fault.at_line(text, 1))
    }

    /// Reads a query for devices: a rule whose target may be missing, as in
    /// `with-interface one-of { 08:*:* }`. The target is then [`Target::Match`].
    pub fn parse_query(text: &[u8]) -> Result<Self, ParseError> {
        let has_target = Target::from_word(Cursor::new(text.trim_ascii_start()).word()).is_some();
        if has_target {
            return Self::parse(text);
        }
        query(text).map_err(|fault| fault.at_line(text, 1))
    }

    fn read(text: &[u8]) -> Result<Self, Fault> {
        line(text)?.rule.ok_or(Fault { offset: 0, problem: Problem::Empty })
    }
}

/// Reads one line of a file, without its line break.
pub(crate) fn line(text: &[u8]) -> Result<Line, Fault> {
    let mut cursor = Cursor::new(text);
    cursor.blanks();
    if matches!(cursor.peek(), None | Some(b'#')) {
        return Ok(Line { rule: None, comment: 0 });
    }
    let start = cursor.offset();
    let word = cursor.take_while(|byte| !matches!(byte, b' ' | b'\t' | b'#' | b'\r' | b'\n'));
    let target = Target::from_word(word).ok_or_else(|| {
        let problem = match word {
            [] => Problem::LineBreak,
            word => Problem::UnknownTarget(String::from_utf8_lossy(word).into_owned()),
        };
        Fault { offset: start, problem }
    })?;
    let mut rule = Rule::new(target);
    let comment = attributes(&mut cursor, &mut rule, true)?;
    Ok(Line { rule: Some(rule), comment })
}

/// The argument of `allowed-matches`: attributes alone, maybe after a device ID.
pub(crate) fn query_in_condition(text: &[u8]) -> Result<Rule, Problem> {
    query(text).map_err(|fault| fault.problem)
}

fn query(text: &[u8]) -> Result<Rule, Fault> {
    let mut cursor = Cursor::new(text);
    let mut rule = Rule::new(Target::Match);
    // What follows a target must be set off from it; here there is no target.
    cursor.blanks();
    if let Some(id) = device_id(&mut cursor)? {
        rule.id = Some(id);
    } else {
        attribute(&mut cursor, &mut rule)?;
    }
    attributes(&mut cursor, &mut rule, false)?;
    Ok(rule)
}

/// Reads attributes up to the end, the first of which may be a device ID alone; returns where the
/// comment starts.
fn attributes(cursor: &mut Cursor<'_>, rule: &mut Rule, mut first: bool) -> Result<usize, Fault> {
    loop {
        let before_blanks = cursor.offset();
        let blanks = cursor.blanks();
        match cursor.peek() {
            None | Some(b'#') => return Ok(before_blanks),
            Some(b'\r' | b'\n') => return Err(cursor.fault(Problem::LineBreak)),
            Some(_) if !blanks => {
                return Err(cursor.fault(Problem::BlankMissing("the value")));
            }
            Some(_) => {}
        }
        let id = if first { device_id(cursor)? } else { None };
        first = false;
        match id {
            Some(id) => rule.id = Some(id),
            None => attribute(cursor, rule)?,
        }
    }
}

/// A device ID without the word `id`, if there is one.
fn device_id<T: Value>(cursor: &mut Cursor<'_>) -> Result<Option<ValueSet<T>>, Fault> {
    let rest = cursor.rest();
    let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'#'));
    let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    if !word.contains(&b':') || word.contains(&b'"') {
        return Ok(None);
    }
    T::parse(cursor).map(|id| Some(ValueSet::one(id)))
}

fn attribute(cursor: &mut Cursor<'_>, rule: &mut Rule) -> Result<(), Fault> {
    let start = cursor.offset();
    let unexpected = cursor.found();
    let word = cursor.word();
    let name = AttributeName::from_word(word).ok_or_else(|| {
        let name = String::from_utf8_lossy(word).into_owned();
        let problem = match word {
            [] => Problem::Unexpected(unexpected),
            _ => Problem::UnknownAttribute { name },
        };
        Fault { offset: start, problem }
    })?;
    if rule.attribute(name).is_some() {
        return Err(Fault { offset: start, problem: Problem::DuplicateAttribute(name) });
    }
    if !cursor.blanks() {
        return Err(cursor.fault(Problem::BlankMissing(name.name())));
    }
    match name {
        AttributeName::Id => rule.id = Some(values(cursor)?),
        AttributeName::Serial => rule.serial = Some(values(cursor)?),
        AttributeName::Name => rule.name = Some(values(cursor)?),
        AttributeName::Hash => rule.hash = Some(values(cursor)?),
        AttributeName::ParentHash => rule.parent_hash = Some(values(cursor)?),
        AttributeName::ViaPort => rule.via_port = Some(values(cursor)?),
        AttributeName::WithInterface => rule.with_interface = Some(values(cursor)?),
        AttributeName::WithConnectType => rule.with_connect_type = Some(values(cursor)?),
        AttributeName::Label => rule.label = Some(values(cursor)?),
        AttributeName::If => {
            let conditions = values(cursor)?;
            if conditions.values().len() > MAX_CONDITIONS {
                return Err(Fault { offset: start, problem: Problem::TooManyConditions });
            }
            rule.conditions = Some(conditions);
        }
        AttributeName::InterfacePolicy => {
            if Verdict::of(rule.target) != Some(Verdict::Allow) {
                let problem = Problem::InterfacePolicyWithoutAllow;
                return Err(Fault { offset: start, problem });
            }
            rule.interface_policy = Some(InterfacePolicy::parse(cursor)?);
        }
    }
    Ok(())
}

/// A value, or an operator and a set.
fn values<T: Value>(cursor: &mut Cursor<'_>) -> Result<ValueSet<T>, Fault> {
    let operator = operator(cursor)?;
    if operator.is_none() && cursor.peek() != Some(b'{') {
        return T::parse(cursor).map(ValueSet::one);
    }
    let start = cursor.offset();
    let values = braced(cursor, T::parse)?;
    let empty = Fault { offset: start, problem: Problem::EmptySet };
    ValueSet::new(operator.unwrap_or(SetOperator::Equals), values).ok_or(empty)
}

/// Reads `op blank+` before a `{`, if there is one.
fn operator(cursor: &mut Cursor<'_>) -> Result<Option<SetOperator>, Fault> {
    let mut ahead = Cursor::new(cursor.rest());
    let word = ahead.word();
    let operator = SetOperator::from_word(word);
    let blanks = ahead.blanks();
    let before_set = ahead.peek() == Some(b'{');
    match (operator, blanks && before_set) {
        (Some(operator), true) => {
            cursor.take_while(|byte| byte != b'{');
            Ok(Some(operator))
        }
        (Some(operator), false) => Err(cursor.fault(Problem::SetMissing(operator.name()))),
        (None, true) if !word.is_empty() => {
            let word = String::from_utf8_lossy(word).into_owned();
            Err(cursor.fault(Problem::UnknownOperator(word)))
        }
        (None, _) => Ok(None),
    }
}

/// Reads `{`, values and `}`, the cursor being at the `{`.
pub(crate) fn braced<T>(
    cursor: &mut Cursor<'_>,
    mut value: impl FnMut(&mut Cursor<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    if !cursor.eat(b'{') {
        return Err(cursor.expected("\"{\" and a set of values"));
    }
    let mut values = Vec::new();
    let mut set_off = true;
    loop {
        set_off |= cursor.blanks();
        if cursor.eat(b'}') {
            return Ok(values);
        }
        if !set_off || cursor.peek().is_none() {
            return Err(cursor.fault(Problem::SetNotClosed(cursor.found())));
        }
        values.push(value(cursor)?);
        set_off = false;
    }
}
