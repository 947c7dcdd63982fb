//! From descriptor to descriptor.

use super::{DescriptorError, MAX_DESCRIPTOR_BYTES};

/// Bytes of `bLength` and `bDescriptorType`.
const HEADER: usize = 2;

/// One descriptor.
pub(super) struct Raw<'a> {
    pub(super) offset: usize,
    /// `bDescriptorType`.
    pub(super) kind: u8,
    /// The whole descriptor: `bLength` bytes.
    pub(super) bytes: &'a [u8],
}

/// The descriptors one after the other, up to the first that is not whole.
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, DescriptorError> {
        if bytes.len() > MAX_DESCRIPTOR_BYTES {
            return Err(DescriptorError::TooLong(bytes.len()));
        }
        Ok(Self { bytes, offset: 0 })
    }

    fn step(&mut self) -> Option<Result<Raw<'a>, DescriptorError>> {
        let offset = self.offset;
        let rest = self.bytes.get(offset..).filter(|rest| !rest.is_empty())?;
        let &[length, kind, ..] = rest else {
            let left = rest.len();
            return Some(Err(DescriptorError::CutOff { offset, length: HEADER, left }));
        };
        let size = usize::from(length);
        if size < HEADER {
            let (kind, expected) = ("malformed", "2 or more");
            return Some(Err(DescriptorError::Length { offset, kind, length, expected }));
        }
        let Some(bytes) = rest.get(..size) else {
            let left = rest.len();
            return Some(Err(DescriptorError::CutOff { offset, length: size, left }));
        };
        self.offset += size;
        Some(Ok(Raw { offset, kind, bytes }))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Raw<'a>, DescriptorError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if matches!(step, Some(Err(_))) {
            self.offset = self.bytes.len();
        }
        step
    }
}
