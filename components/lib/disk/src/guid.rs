//! GUIDs in their mixed-endian disk form and their text form.

use std::{fmt, str::FromStr};

/// A GUID; ordered and compared by its text form's value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Guid(u128);

/// A text that is no GUID.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a GUID of the form 8-4-4-4-12 hexadecimal digits")]
pub struct GuidError(String);

impl Guid {
    /// All zero: an unused entry.
    pub const NIL: Self = Self(0);

    /// The GUID whose text form has these digits.
    pub const fn from_u128(value: u128) -> Self {
        Self(value)
    }

    /// The digits of the text form as a number.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// From its 16 bytes on disk (first three fields little-endian, UEFI 2.10 appendix A).
    pub fn from_disk(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(swap(bytes)))
    }

    /// Its 16 bytes on disk.
    pub fn to_disk(self) -> [u8; 16] {
        swap(self.0.to_be_bytes())
    }
}

fn swap(mut b: [u8; 16]) -> [u8; 16] {
    b[0..4].reverse();
    b[4..6].reverse();
    b[6..8].reverse();
    b
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            v >> 96,
            (v >> 80) & 0xffff,
            (v >> 64) & 0xffff,
            (v >> 48) & 0xffff,
            v & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Guid {
    type Err = GuidError;

    fn from_str(text: &str) -> Result<Self, GuidError> {
        let error = || GuidError(text.to_owned());
        let groups: Vec<&str> = text.split('-').collect();
        if groups.iter().map(|g| g.len()).ne([8, 4, 4, 4, 12]) {
            return Err(error());
        }
        let digits = groups.concat();
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(error());
        }
        u128::from_str_radix(&digits, 16).map(Self).map_err(|_| error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_disk_form() {
        let esp: Guid = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b".parse().unwrap();
        assert_eq!(esp, crate::types::ESP);
        assert_eq!(&esp.to_disk()[..6], &[0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8]);
        assert_eq!(Guid::from_disk(esp.to_disk()), esp);
        assert_eq!(esp.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    }

    #[test]
    fn refuses_what_is_no_guid() {
        for bad in [
            "",
            "c12a7328",
            "c12a7328-f81f-11d2-ba4b-00a0c93ec93",
            "+12a7328-f81f-11d2-ba4b-00a0c93ec93b",
            "c12a7328-f81f-11d2-ba4b0-0a0c93ec93b",
        ] {
            assert!(bad.parse::<Guid>().is_err(), "{bad}");
        }
    }
}
