//! Arguments of an operation, by digest only: a record must not carry a secret that was passed.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// SHA-256 over the arguments, each with its length before it (u32, big-endian), so that moving
/// bytes from one argument to the next changes the digest. Written as lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArgumentsDigest([u8; 32]);

impl ArgumentsDigest {
    /// Digest of the arguments in the order of the call. An argument longer than 4 GiB counts
    /// with its length modulo 2^32.
    pub fn of(arguments: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for argument in arguments {
            #[allow(clippy::cast_possible_truncation)]
            hash.update((argument.len() as u32).to_be_bytes());
            hash.update(argument);
        }
        Self(hash.finalize().into())
    }

    /// The digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<String> for ArgumentsDigest {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        let mut digest = [0; 32];
        if text.bytes().any(|b| b.is_ascii_uppercase())
            || hex::decode_to_slice(&text, &mut digest).is_err()
        {
            return Err(Error::ArgumentsDigest);
        }
        Ok(Self(digest))
    }
}

impl From<ArgumentsDigest> for String {
    fn from(digest: ArgumentsDigest) -> Self {
        hex::encode(digest.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_count() {
        let digest = |arguments: &[&[u8]]| String::from(ArgumentsDigest::of(arguments));
        // printf '\0\0\0\1a\0\0\0\2bc' | sha256sum
        assert_eq!(
            digest(&[b"a", b"bc"]),
            "b534ce16ac9c8b36823f39a395ce8e0e3c7ad9605b82b5444f18cadacd217a5d"
        );
        assert_ne!(digest(&[b"a", b"bc"]), digest(&[b"ab", b"c"]));
        assert_ne!(digest(&[]), digest(&[b""]));
    }
}
