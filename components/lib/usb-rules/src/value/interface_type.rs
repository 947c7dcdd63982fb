//! Class, subclass and protocol of an interface.

use core::fmt;
use core::str::FromStr;

use super::{Pattern, Value, hex_byte};
use crate::cursor::{Cursor, Fault};
use crate::error::Problem;

/// `bInterfaceClass`, `bInterfaceSubClass` and `bInterfaceProtocol` of an interface descriptor
/// (USB 2.0, 9.6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceType {
    /// As 0x08, mass storage.
    pub class: u8,
    /// Its meaning depends on the class.
    pub subclass: u8,
    /// Its meaning depends on class and subclass.
    pub protocol: u8,
}

impl fmt::Display for InterfaceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}:{:02x}", self.class, self.subclass, self.protocol)
    }
}

/// Which interfaces a `with-interface` means: `CC:SS:PP`, `CC:SS:*` or `CC:*:*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfacePattern {
    class: u8,
    /// Subclass, and with it maybe the protocol.
    subclass: Option<(u8, Option<u8>)>,
}

impl InterfacePattern {
    /// Every interface of a class.
    pub const fn class(class: u8) -> Self {
        Self { class, subclass: None }
    }

    /// Whether this interface is meant.
    pub fn covers(&self, interface: InterfaceType) -> bool {
        self.class == interface.class
            && self.subclass.is_none_or(|(subclass, protocol)| {
                subclass == interface.subclass
                    && protocol.is_none_or(|protocol| protocol == interface.protocol)
            })
    }
}

impl From<InterfaceType> for InterfacePattern {
    fn from(InterfaceType { class, subclass, protocol }: InterfaceType) -> Self {
        Self { class, subclass: Some((subclass, Some(protocol))) }
    }
}

impl FromStr for InterfacePattern {
    type Err = crate::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        super::parse_whole(text.as_bytes())
    }
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subclass {
            None => write!(f, "{:02x}:*:*", self.class),
            Some((subclass, None)) => write!(f, "{:02x}:{subclass:02x}:*", self.class),
            Some((subclass, Some(protocol))) => {
                write!(f, "{:02x}:{subclass:02x}:{protocol:02x}", self.class)
            }
        }
    }
}

impl Value for InterfacePattern {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let start = cursor.expected("an interface type, as 08:06:50, 08:06:* or 08:*:*");
        let (class, subclass) = match parts(cursor).ok_or(start)? {
            (class, None, None) => (class, None),
            (class, Some(subclass), protocol) => (class, Some((subclass, protocol))),
            (_, None, Some(_)) => return Err(cursor.fault(Problem::ProtocolWithoutSubclass)),
        };
        Ok(Self { class, subclass })
    }
}

/// Class, and subclass and protocol if they are not `*`.
fn parts(cursor: &mut Cursor<'_>) -> Option<(u8, Option<u8>, Option<u8>)> {
    let class = hex_byte(cursor)?;
    let mut number_or_any = || {
        if !cursor.eat(b':') {
            None
        } else if cursor.eat(b'*') {
            Some(None)
        } else {
            hex_byte(cursor).map(Some)
        }
    };
    Some((class, number_or_any()?, number_or_any()?))
}

impl Pattern<InterfaceType> for InterfacePattern {
    fn covers(&self, value: &InterfaceType) -> bool {
        InterfacePattern::covers(self, *value)
    }

    fn specificity(&self) -> usize {
        match self.subclass {
            None => 1,
            Some((_, None)) => 2,
            Some((_, Some(_))) => 3,
        }
    }
}
