//! Big-endian reading and writing with bounds.

use core::ops::Deref;

/// Why bytes are not the TPM structure that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the structure does.
    #[error("the data ends inside {field}")]
    Truncated {
        /// The field that was being read.
        field: &'static str,
    },
    /// Bytes follow the end of the structure.
    #[error("{count} bytes follow the end of {structure}")]
    TrailingBytes {
        /// The structure that was read.
        structure: &'static str,
        /// How many bytes follow it.
        count: usize,
    },
    /// A length is over its limit.
    #[error("{field} has {length} bytes, over the limit of {limit}")]
    TooLong {
        /// The field with the length.
        field: &'static str,
        /// The length found.
        length: usize,
        /// The largest length allowed.
        limit: usize,
    },
    /// A length is not the one that other fields ask for.
    #[error("{field} has {length} bytes instead of {expected}")]
    WrongLength {
        /// The field with the length.
        field: &'static str,
        /// The length found.
        length: usize,
        /// The length expected.
        expected: usize,
    },
    /// A value is not one that this project accepts.
    #[error("{field} has the value {value:#x}, which is not accepted")]
    Unsupported {
        /// The field with the value.
        field: &'static str,
        /// The value found.
        value: u32,
    },
    /// A structure that a TPM signs does not start with `TPM_GENERATED_VALUE`.
    #[error("the attested structure was not made by a TPM: magic is {magic:#010x}")]
    NotTpmGenerated {
        /// The magic found.
        magic: u32,
    },
}

/// Bytes of at most `MAX`, which is what a `TPM2B` of that kind can hold.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Bounded<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Bounded<MAX> {
    /// Takes the bytes, or says by how much they are too many.
    pub fn new(bytes: &[u8]) -> Result<Self, DecodeError> {
        const { assert!(MAX <= u16::MAX as usize, "a TPM2B has a length of 16 bits") };
        if bytes.len() > MAX {
            return Err(DecodeError::TooLong { field: "buffer", length: bytes.len(), limit: MAX });
        }
        Ok(Self(bytes.to_vec()))
    }
}

impl<const MAX: usize> Deref for Bounded<MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> core::fmt::Debug for Bounded<MAX> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn take(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) =
            self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// A `TPM2B`: 16 bits of length, then as many bytes.
    pub(super) fn sized<const MAX: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<Bounded<MAX>, DecodeError> {
        let length = usize::from(self.u16(field)?);
        if length > MAX {
            return Err(DecodeError::TooLong { field, length, limit: MAX });
        }
        Ok(Bounded(self.take(length, field)?.to_vec()))
    }

    pub(super) fn finish(self, structure: &'static str) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { structure, count }),
        }
    }
}

#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn sized<const MAX: usize>(&mut self, bytes: &Bounded<MAX>) -> &mut Self {
        #[allow(clippy::cast_possible_truncation)] // MAX is checked when Bounded is built
        self.u16(bytes.len() as u16).bytes(bytes)
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}
