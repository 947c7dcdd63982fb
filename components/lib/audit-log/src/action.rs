//! What was done, by a stable name.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Name of an operation: `subject.verb`, as in `identity.sign` or `registry.register`. At least
/// two parts of `a-z`, `0-9` and `-`, joined by dots; 64 bytes at most.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Action(String);

impl Action {
    /// Longest name, bytes.
    pub const MAX: usize = 64;

    /// Checks the form of the name.
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        let name = name.into();
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        if name.len() <= Self::MAX && name.contains('.') && name.split('.').all(part) {
            Ok(Self(name))
        } else {
            Err(Error::Action(name.chars().take(Self::MAX).collect()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Action {
    type Error = Error;
    fn try_from(name: String) -> Result<Self, Error> {
        Self::new(name)
    }
}

impl From<Action> for String {
    fn from(action: Action) -> Self {
        action.0
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_of_a_name() {
        for good in ["identity.sign", "usb.rule.add", "device.re-enrol", "a.1"] {
            assert_eq!(Action::new(good).unwrap().as_str(), good);
        }
        let long = format!("a.{}", "b".repeat(63));
        for bad in ["", "sign", ".sign", "identity.", "a..b", "Identity.Sign", "a.b c", &long] {
            assert!(matches!(Action::new(bad), Err(Error::Action(_))), "{bad:?}");
        }
    }
}
