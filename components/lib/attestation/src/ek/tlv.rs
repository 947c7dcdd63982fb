//! Tag, length, value: DER, and BER as sloppy as TPM vendors write it.

/// One element.
#[derive(Debug, Clone, Copy)]
pub struct Element<'a> {
    pub tag: u8,
    pub value: &'a [u8],
    /// Tag, length and value.
    pub whole: &'a [u8],
}

pub mod tag {
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const BIT_STRING: u8 = 0x03;
    pub const OCTET_STRING: u8 = 0x04;
    pub const OBJECT_IDENTIFIER: u8 = 0x06;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    pub const VERSION: u8 = 0xa0;
    pub const EXTENSIONS: u8 = 0xa3;
}

/// Reads elements one after the other and notes whether all were DER.
pub struct Tlv<'a> {
    rest: &'a [u8],
    strict: bool,
}

impl<'a> Tlv<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, strict: true }
    }

    /// Whether every length so far was in its shortest form.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next element; none at the end or if the bytes are no element.
    pub fn next(&mut self) -> Option<Element<'a>> {
        let (&[tag, first], mut after) = self.rest.split_first_chunk::<2>()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            // 0x80 is the indefinite form; more than four bytes of length cannot be met.
            let count = usize::from(first & 0x7f);
            if !(1..=4).contains(&count) {
                return None;
            }
            let (bytes, rest) = after.split_at_checked(count)?;
            after = rest;
            let length = bytes.iter().fold(0_u32, |length, byte| length << 8 | u32::from(*byte));
            self.strict &= length >= 0x80 && bytes[0] != 0;
            usize::try_from(length).ok()?
        };
        let (value, rest) = after.split_at_checked(length)?;
        let whole = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        Some(Element { tag, value, whole })
    }

    /// The next element if it has this tag; otherwise nothing is consumed.
    pub fn next_if(&mut self, tag: u8) -> Option<Element<'a>> {
        if self.rest.first() == Some(&tag) { self.next() } else { None }
    }
}
