//! The key itself, in the form that systemd gives recovery keys: 256 bits in modhex, whose letters
//! are at the same place on most keyboards (systemd-cryptenroll(1), `--recovery-key`).

use core::fmt;
use core::str::FromStr;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::RecoveryError;

const ALPHABET: &[u8; 16] = b"cbdefghijklnrtuv";
const LETTERS: usize = 64;
const GROUP: usize = 8;
/// With hyphens between the groups.
const LENGTH: usize = LETTERS + LETTERS / GROUP - 1;
const VERIFIER_CONTEXT: &[u8] = b"holdfast-recovery-v1";

/// A recovery key. Its text is the passphrase of its LUKS2 key slot.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryKey(Zeroizing<String>);

/// Tells the right key from others without giving it away: a hash of the key and the volume. The
/// key has 256 random bits, so nobody finds it from its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verifier(pub [u8; 32]);

impl RecoveryKey {
    /// Longest text that can be one, with spaces or hyphens in any form.
    pub const MAX_TYPED: usize = 96;

    /// From random bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let letters = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let letters: Zeroizing<Vec<u8>> =
            Zeroizing::new(letters.map(|half| ALPHABET[usize::from(half)]).collect());
        Self(grouped(&letters))
    }

    /// The text in its normal form: lower case, groups of 8 letters, hyphens between them.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The verifier of this key for the volume that `volume` identifies.
    pub fn verifier(&self, volume: &[u8; 32]) -> Verifier {
        let digest = Sha256::new()
            .chain_update(VERIFIER_CONTEXT)
            .chain_update(volume)
            .chain_update(self.0.as_bytes());
        Verifier(digest.finalize().into())
    }
}

/// The text with hyphens after each group.
fn grouped(letters: &[u8]) -> Zeroizing<String> {
    // As long as it gets, so that no copy is left behind by growing.
    let mut text = Zeroizing::new(String::with_capacity(LENGTH));
    for (index, letter) in letters.iter().enumerate() {
        if index > 0 && index % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(*letter));
    }
    text
}

impl FromStr for RecoveryKey {
    type Err = RecoveryError;

    /// Takes what a person types: any case, hyphens and spaces anywhere or nowhere.
    fn from_str(text: &str) -> Result<Self, RecoveryError> {
        if text.len() > Self::MAX_TYPED {
            return Err(RecoveryError::Form("it is too long"));
        }
        let mut letters = Zeroizing::new(Vec::with_capacity(Self::MAX_TYPED));
        for byte in text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')) {
            let letter = byte.to_ascii_lowercase();
            if !ALPHABET.contains(&letter) {
                return Err(RecoveryError::Form("it has other characters"));
            }
            letters.push(letter);
        }
        match letters.len() {
            LETTERS => Ok(Self(grouped(&letters))),
            0..LETTERS => Err(RecoveryError::Form("it is too short")),
            _ => Err(RecoveryError::Form("it is too long")),
        }
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv";

    #[test]
    fn what_people_type_is_understood() {
        let bare = KEY.replace('-', "");
        for typed in
            [KEY.to_owned(), KEY.to_uppercase(), KEY.replace('-', " "), bare, format!(" {KEY} ")]
        {
            assert_eq!(typed.parse::<RecoveryKey>().unwrap().as_str(), KEY, "{typed}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (typed, part) in [
            ("", "too short"),
            ("reboot", "other characters"),
            (&KEY[1..], "too short"),
            (&KEY.replace('c', "a"), "other characters"),
            (&KEY.replace('c', "1"), "other characters"),
            (&format!("{KEY}c"), "too long"),
            (&format!("{KEY}\n"), "other characters"),
            (&"c".repeat(100_000), "too long"),
            (&KEY.replacen('c', "ç", 1), "other characters"),
        ] {
            let error = typed.parse::<RecoveryKey>().unwrap_err().to_string();
            assert!(error.contains(part), "{typed}: {error}");
        }
    }

    #[test]
    fn a_verifier_is_of_one_key_and_one_volume() {
        let key: RecoveryKey = KEY.parse().unwrap();
        let other = RecoveryKey::from_bytes(&[7; 32]);
        assert_eq!(key.verifier(&[1; 32]), key.clone().verifier(&[1; 32]));
        assert_ne!(key.verifier(&[1; 32]), key.verifier(&[2; 32]));
        assert_ne!(key.verifier(&[1; 32]), other.verifier(&[1; 32]));
    }

    #[test]
    fn a_key_is_not_printed_by_chance() {
        assert_eq!(format!("{:?}", RecoveryKey::from_bytes(&[1; 32])), "RecoveryKey(..)");
    }

    proptest! {
        #[test]
        fn what_is_made_is_read(bytes: [u8; 32]) {
            let key = RecoveryKey::from_bytes(&bytes);
            prop_assert_eq!(key.as_str().len(), LENGTH);
            prop_assert_eq!(key.as_str().parse::<RecoveryKey>().unwrap(), key);
        }

        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = text.parse::<RecoveryKey>();
        }
    }
}
