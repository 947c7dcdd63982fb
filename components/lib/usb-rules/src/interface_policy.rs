//! Policies for the interfaces of an allowed device: an extension to USBGuard's language, in the
//! form that was proposed there (its issue 67).
//!
//! ```text
//! interface-policy = "interface-policy" blank+ default blank+ "{" rule ( blank+ rule )* "}"
//! default          = "allow" | "block"
//! rule             = ( "allow" | "block" ) blank+ interface-type
//!                    [ blank+ "index" blank+ N ] [ blank+ "configuration" blank+ N ]
//! ```

use core::fmt;

use crate::cursor::{Cursor, Fault};
use crate::error::Problem;
use crate::rule::braced;
use crate::value::{InterfacePattern, InterfaceType, Value};

/// Which interfaces of a device are authorised. The first rule that means an interface decides;
/// the default decides for interfaces that no rule means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfacePolicy {
    default: Permission,
    rules: Vec<InterfaceRule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permission {
    Allow,
    Block,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct InterfaceRule {
    permission: Permission,
    kind: InterfacePattern,
    index: Option<u8>,
    configuration: Option<u8>,
}

/// An interface of a device as a policy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfacePlace {
    /// `bConfigurationValue` of its configuration.
    pub configuration: u8,
    /// `bInterfaceNumber`.
    pub index: u8,
}

impl InterfacePolicy {
    /// Whether an interface is authorised. The kernel authorises an interface with all its
    /// alternate settings, so every one of `settings` must be allowed.
    pub fn permits(&self, place: InterfacePlace, settings: &[InterfaceType]) -> bool {
        !settings.is_empty()
            && settings.iter().all(|kind| self.permission(place, *kind) == Permission::Allow)
    }

    fn permission(&self, place: InterfacePlace, kind: InterfaceType) -> Permission {
        let rule = self.rules.iter().find(|rule| {
            rule.kind.covers(kind)
                && rule.index.is_none_or(|index| index == place.index)
                && rule.configuration.is_none_or(|number| number == place.configuration)
        });
        rule.map_or(self.default, |rule| rule.permission)
    }

    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let default = permission(cursor)?;
        let start = cursor.offset();
        let rules = braced(cursor, interface_rule)?;
        if rules.is_empty() {
            return Err(Fault { offset: start, problem: Problem::EmptySet });
        }
        Ok(Self { default, rules })
    }
}

fn interface_rule(cursor: &mut Cursor<'_>) -> Result<InterfaceRule, Fault> {
    let permission = permission(cursor)?;
    let kind = InterfacePattern::parse(cursor)?;
    let index = option(cursor, b"index")?;
    let configuration = option(cursor, b"configuration")?;
    Ok(InterfaceRule { permission, kind, index, configuration })
}

/// Reads `allow` or `block` and the blanks behind it.
fn permission(cursor: &mut Cursor<'_>) -> Result<Permission, Fault> {
    let other = cursor.fault(Problem::InterfaceTarget(cursor.found()));
    let (permission, name) = match cursor.word() {
        b"allow" => (Permission::Allow, "allow"),
        b"block" => (Permission::Block, "block"),
        _ => return Err(other),
    };
    if cursor.blanks() { Ok(permission) } else { Err(cursor.fault(Problem::BlankMissing(name))) }
}

/// Reads `name N` and the blanks before it, if the name is next.
fn option(cursor: &mut Cursor<'_>, name: &[u8]) -> Result<Option<u8>, Fault> {
    let mut ahead = cursor.clone();
    if !ahead.blanks() || ahead.word() != name || !ahead.blanks() {
        return Ok(None);
    }
    *cursor = ahead;
    let expected = cursor.expected("a number from 0 to 255");
    let digits = core::str::from_utf8(cursor.take_while(|byte| byte.is_ascii_digit()));
    digits.ok().and_then(|digits| digits.parse().ok()).map(Some).ok_or(expected)
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Block => "block",
        })
    }
}

impl fmt::Display for InterfacePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {{ ", self.default)?;
        self.rules.iter().try_for_each(|rule| write!(f, "{rule} "))?;
        f.write_str("}")
    }
}

impl fmt::Display for InterfaceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.permission, self.kind)?;
        if let Some(index) = self.index {
            write!(f, " index {index}")?;
        }
        if let Some(configuration) = self.configuration {
            write!(f, " configuration {configuration}")?;
        }
        Ok(())
    }
}
