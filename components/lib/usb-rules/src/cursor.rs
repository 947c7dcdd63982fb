//! A position in a rule's text.

use crate::error::{ParseError, Problem};

/// A problem and the byte of the text that it is at.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) offset: usize,
    pub(crate) problem: Problem,
}

impl Fault {
    /// Turns the offset into a column in characters: an editor does not count bytes.
    pub(crate) fn at_line(self, text: &[u8], line: usize) -> ParseError {
        let before = text.get(..self.offset).unwrap_or(text);
        let is_continuation = |byte: &&u8| **byte & 0xC0 == 0x80;
        let column = before.len() - before.iter().filter(is_continuation).count() + 1;
        ParseError { line, column, problem: self.problem }
    }
}

/// Reads a text of bytes from left to right.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a [u8]) -> Self {
        Self { text, offset: 0 }
    }

    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.text.get(self.offset..).unwrap_or_default()
    }

    /// What was read since an offset.
    pub(crate) fn since(&self, offset: usize) -> &'a [u8] {
        self.text.get(offset..self.offset).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.offset).copied()
    }

    pub(crate) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.offset += 1;
        Some(byte)
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.offset += usize::from(found);
        found
    }

    pub(crate) fn take_while(&mut self, mut belongs: impl FnMut(u8) -> bool) -> &'a [u8] {
        let start = self.offset;
        while self.peek().is_some_and(&mut belongs) {
            self.offset += 1;
        }
        self.since(start)
    }

    /// Skips spaces and tabs; says whether there was one.
    pub(crate) fn blanks(&mut self) -> bool {
        !self.take_while(is_blank).is_empty()
    }

    /// A word of letters, digits and `-`, as names of attributes are.
    pub(crate) fn word(&mut self) -> &'a [u8] {
        self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    }

    /// The text up to the next blank, shortened, for a message.
    pub(crate) fn found(&self) -> String {
        const LONGEST: usize = 40;
        let rest = self.rest();
        let end = rest.iter().position(|byte| is_blank(*byte)).unwrap_or(rest.len());
        match rest.get(..end.min(LONGEST)) {
            None | Some([]) if rest.is_empty() => "the end of the rule".into(),
            None | Some([]) => "a blank".into(),
            Some(text) => format!("{:?}", String::from_utf8_lossy(text)),
        }
    }

    pub(crate) const fn fault(&self, problem: Problem) -> Fault {
        Fault { offset: self.offset, problem }
    }

    /// A fault of the value that this should be the start of.
    pub(crate) fn expected(&self, expected: &'static str) -> Fault {
        match self.peek() {
            Some(b'\r' | b'\n') => self.fault(Problem::LineBreak),
            _ => self.fault(Problem::Value { expected, found: self.found() }),
        }
    }
}

pub(crate) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
