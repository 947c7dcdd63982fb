//! The hash that everything in a log is named by.

use std::fmt;

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// SHA-256. Shown as lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; Self::LEN]);

impl Hash {
    /// Length, bytes.
    pub const LEN: usize = 32;

    /// A hash that was stored.
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// SHA-256 over the parts, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Hash of a leaf of the tree (RFC 6962, section 2.1).
    pub fn leaf(data: &[u8]) -> Self {
        Self::of(&[&[0], data])
    }

    /// Hash of an inner node of the tree (RFC 6962, section 2.1).
    pub fn node(left: &Self, right: &Self) -> Self {
        // One buffer is hashed faster than three parts.
        let mut data = [1; 1 + 2 * Self::LEN];
        data[1..=Self::LEN].copy_from_slice(&left.0);
        data[1 + Self::LEN..].copy_from_slice(&right.0);
        Self(Sha256::digest(data).into())
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
