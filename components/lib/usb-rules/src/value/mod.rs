//! The values of a rule, and what they match.

mod device_id;
mod interface_type;
mod rule_string;

use core::fmt;

pub use device_id::{DeviceId, DeviceIdPattern};
pub use interface_type::{InterfacePattern, InterfaceType};
pub use rule_string::RuleString;

use crate::ParseError;
use crate::cursor::{Cursor, Fault};

/// A value as a rule has it.
pub(crate) trait Value: Sized + fmt::Display {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault>;
}

/// A value of a rule that stands for a set of values of devices.
///
/// Two patterns of one kind either cover no value together, or one of them covers all that the
/// other covers.
pub(crate) trait Pattern<T> {
    fn covers(&self, value: &T) -> bool;
    /// How many parts are given: of two patterns that cover a value, the one with more parts
    /// covers fewer values.
    fn specificity(&self) -> usize;
}

/// A value that takes up the whole text.
fn parse_whole<T: Value>(text: &[u8]) -> Result<T, ParseError> {
    let mut cursor = Cursor::new(text);
    let value = T::parse(&mut cursor).and_then(|value| match cursor.peek() {
        None => Ok(value),
        Some(_) => Err(cursor.expected("the end of the value")),
    });
    value.map_err(|fault| fault.at_line(text, 1))
}

/// Two hexadecimal digits.
fn hex_byte(cursor: &mut Cursor<'_>) -> Option<u8> {
    let mut digit = || char::from(cursor.next()?).to_digit(16);
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high * 16 + low).ok()
}
