//! The identity of a log.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::Hash;

/// Name of one device's log, unique among all logs: the origin line of its checkpoints and the
/// name of the key that signs them (C2SP tlog-checkpoint, C2SP signed-note). 1 to 255 bytes of
/// printable ASCII without space and `+`; a URL without its scheme, as in
/// `holdfast.example/audit/3f9a`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(String);

/// A text cannot name a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" names no log: expected 1 to 255 of printable ASCII without space and '+'")]
pub struct NotAnOrigin(String);

impl Origin {
    /// Longest name, bytes.
    pub const MAX: usize = 255;

    /// Checks the form of the name.
    pub fn new(name: impl Into<String>) -> Result<Self, NotAnOrigin> {
        let name = name.into();
        let is_printable = name.bytes().all(|b| b.is_ascii_graphic() && b != b'+');
        if (1..=Self::MAX).contains(&name.len()) && is_printable {
            Ok(Self(name))
        } else {
            Err(NotAnOrigin(name.chars().take(64).flat_map(char::escape_debug).collect()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands in the first record of the log where every other has the hash of the record
    /// before it. It keeps the records of one log from fitting into another.
    pub fn genesis(&self) -> Hash {
        Hash::of(&[b"holdfast audit log 1\n", self.0.as_bytes()])
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_of_a_name() {
        let longest = "x".repeat(255);
        for good in ["a", "holdfast.example/audit/3f9a", &longest] {
            assert_eq!(Origin::new(good).unwrap().as_str(), good);
        }
        let too_long = "x".repeat(256);
        for bad in ["", "a b", "a+b", "a\n", "ü", &too_long] {
            assert!(Origin::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn logs_begin_differently() {
        let genesis = |name: &str| Origin::new(name).unwrap().genesis();
        // printf 'holdfast audit log 1\na' | sha256sum
        assert_ne!(genesis("a"), genesis("b"));
        assert_eq!(genesis("a"), Hash::of(&[b"holdfast audit log 1\na"]));
    }
}
