//! The one-time code that takes the place of a proven TPM.

use core::fmt;
use core::str::FromStr;

use zeroize::Zeroize as _;

use crate::hash::sha256;

/// Crockford's base 32: no letter that reads like a digit.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 128 bits of code and 12 bits that find typing errors.
const CHARACTERS: usize = 28;
const GROUP: usize = 4;

/// 128 random bits that an operator carries to a device. No `Debug`: it must not reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct PairingCode([u8; 16]);

/// Why a text is no pairing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PairingCodeError {
    /// Not 28 characters.
    #[error("a pairing code has 28 letters and digits, this has {0}")]
    Length(usize),
    /// A character that does not occur.
    #[error("a pairing code has no '{0}'")]
    Character(char),
    /// Misread or mistyped.
    #[error("the pairing code is mistyped: its check digits do not fit")]
    Check,
}

impl PairingCode {
    /// From the random bits.
    pub const fn new(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// What goes into the binding.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn check(&self) -> u16 {
        let [high, low, ..] = sha256(&[b"holdfast pairing code", &self.0]);
        u16::from_be_bytes([high, low]) >> 4
    }
}

impl fmt::Display for PairingCode {
    /// Seven groups of four, which are easily read aloud.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = u128::from_be_bytes(self.0);
        // 140 bits, of which the first 128 are the code.
        let digit = |index: usize| match 135_usize.checked_sub(index * 5) {
            Some(shift) if shift >= 12 => code >> (shift - 12) & 31,
            Some(shift) => (code << 12 | u128::from(self.check())) >> shift & 31,
            None => 0,
        };
        for index in 0..CHARACTERS {
            if index > 0 && index % GROUP == 0 {
                f.write_str("-")?;
            }
            let digit = usize::try_from(digit(index)).unwrap_or(0);
            write!(f, "{}", char::from(ALPHABET[digit]))?;
        }
        Ok(())
    }
}

impl FromStr for PairingCode {
    type Err = PairingCodeError;

    /// Takes both cases, `O` for nought, `I` and `L` for one, and any grouping.
    fn from_str(text: &str) -> Result<Self, PairingCodeError> {
        let mut bits = [0_u8; 18];
        let mut count = 0;
        for character in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let normal = match character.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let digit = ALPHABET.iter().position(|known| char::from(*known) == normal);
            let digit = digit.ok_or(PairingCodeError::Character(character))?;
            for bit in 0..5 {
                let at = count * 5 + bit;
                if at < 140 && digit >> (4 - bit) & 1 == 1 {
                    bits[at / 8] |= 0x80 >> (at % 8);
                }
            }
            count += 1;
        }
        if count != CHARACTERS {
            return Err(PairingCodeError::Length(count));
        }
        let mut code = [0; 16];
        code.copy_from_slice(&bits[..16]);
        let check = u16::from_be_bytes([bits[16], bits[17]]) >> 4;
        bits.zeroize();
        let code = Self(code);
        if code.check() == check { Ok(code) } else { Err(PairingCodeError::Check) }
    }
}

impl Drop for PairingCode {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_code_as_it_is_printed() {
        let text = PairingCode::new(*b"0123456789abcdef").to_string();
        assert_eq!((text.len(), text.matches('-').count()), (34, 6));
        let shouted = text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        assert_eq!(shouted.parse::<PairingCode>().unwrap().as_bytes(), b"0123456789abcdef");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(bits in any::<[u8; 16]>()) {
            let text = PairingCode::new(bits).to_string();
            let read: PairingCode = text.parse().unwrap();
            prop_assert_eq!(read.as_bytes(), &bits);
        }

        #[test]
        fn a_wrong_character_is_found(bits in any::<[u8; 16]>(), at in 0..28_usize, by in 1..32_usize) {
            let text: Vec<u8> = PairingCode::new(bits).to_string().replace('-', "").into_bytes();
            let mut wrong = text.clone();
            let digit = ALPHABET.iter().position(|known| *known == wrong[at]).unwrap();
            wrong[at] = ALPHABET[(digit + by) % 32];
            // 12 bits miss one change in 4096.
            let read = String::from_utf8(wrong).unwrap().parse::<PairingCode>();
            if let Ok(read) = read {
                prop_assert_ne!(read.as_bytes(), &bits);
            }
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in ".*") {
            let _ = text.parse::<PairingCode>();
        }
    }
}
