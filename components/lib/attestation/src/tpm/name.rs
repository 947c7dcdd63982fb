//! `TPM2B_NAME` of an object (Part 1, 16; Part 2, 10.5.3).

use super::buffer::{Bounded, DecodeError, Reader};
use crate::hash::HashAlgorithm;

/// The Name of a TPM object: the identifier of its name algorithm, then the hash of its public area.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Vec<u8>);

/// Identifier and the longest digest.
pub(super) const MAX_NAME: usize = 2 + 64;

impl Name {
    /// The Name of an object with this marshalled public area.
    pub fn of_public_area(algorithm: HashAlgorithm, public_area: &[u8]) -> Self {
        let mut name = algorithm.id().to_be_bytes().to_vec();
        name.extend(algorithm.digest(&[public_area]));
        Self(name)
    }

    /// Takes the contents of a `TPM2B_NAME`, which must be algorithm and digest, not a handle.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let id = reader.u16("name algorithm")?;
        let algorithm = HashAlgorithm::from_id(id)
            .ok_or(DecodeError::Unsupported { field: "name algorithm", value: id.into() })?;
        reader.take(algorithm.size(), "name digest")?;
        reader.finish("TPM2B_NAME")?;
        Ok(Self(bytes.to_vec()))
    }

    /// The contents of the `TPM2B_NAME`, without their length.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        let bytes: Bounded<MAX_NAME> = reader.sized(field)?;
        Self::from_bytes(&bytes)
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
