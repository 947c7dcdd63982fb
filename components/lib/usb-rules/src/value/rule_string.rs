//! Strings of rules and devices.

use core::fmt;

use super::{Pattern, Value, hex_byte};
use crate::cursor::{Cursor, Fault};
use crate::error::Problem;

/// A string: any bytes, since a device chooses its name and serial number itself.
///
/// Shown in the form that a rule has it in: in quotes, with `\"`, `\\`, and `\xhh` for every byte
/// that is not printable ASCII.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleString(Vec<u8>);

impl RuleString {
    /// The bytes, without quotes and escapes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<Vec<u8>>> From<T> for RuleString {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Display for RuleString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for byte in &self.0 {
            match byte {
                b'"' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
                b' '..=b'~' => write!(f, "{}", char::from(*byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        f.write_str("\"")
    }
}

impl fmt::Debug for RuleString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Value for RuleString {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let start = cursor.offset();
        if !cursor.eat(b'"') {
            return Err(cursor.expected("a string in double quotes, as \"1-2\""));
        }
        let mut bytes = Vec::new();
        loop {
            match cursor.peek() {
                None => return Err(Fault { offset: start, problem: Problem::StringNotClosed }),
                Some(b'\r' | b'\n') => return Err(cursor.fault(Problem::LineBreak)),
                Some(b'\\') => bytes.push(escape(cursor)?),
                Some(byte) => {
                    cursor.next();
                    if byte == b'"' {
                        return Ok(Self(bytes));
                    }
                    bytes.push(byte);
                }
            }
        }
    }
}

/// Reads an escape sequence, the cursor being at its backslash.
fn escape(cursor: &mut Cursor<'_>) -> Result<u8, Fault> {
    let start = cursor.offset();
    cursor.next();
    let byte = match cursor.next() {
        Some(byte @ (b'"' | b'\\')) => Some(byte),
        Some(b'x') => hex_byte(cursor),
        _ => None,
    };
    byte.ok_or_else(|| {
        let sequence = String::from_utf8_lossy(cursor.since(start)).into_owned();
        Fault { offset: start, problem: Problem::Escape(sequence) }
    })
}

impl Pattern<RuleString> for RuleString {
    fn covers(&self, value: &RuleString) -> bool {
        self == value
    }

    fn specificity(&self) -> usize {
        1
    }
}
