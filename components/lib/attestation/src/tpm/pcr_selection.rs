//! `TPML_PCR_SELECTION` (Part 2, 10.6.2 and 10.9.7).

use super::buffer::{DecodeError, Reader, Writer};
use crate::hash::HashAlgorithm;

/// PCRs of one bank.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PcrSelection {
    /// The bank.
    pub hash: HashAlgorithm,
    /// One bit per PCR, the lowest bit of the first byte is PCR 0.
    bitmap: Vec<u8>,
}

/// `PCR_SELECT_MIN` of the PC Client profile: 24 PCRs.
const MIN_BITMAP: usize = 3;
/// `PCR_SELECT_MAX` that implementations use.
const MAX_BITMAP: usize = 4;
/// `HASH_COUNT`: more banks than any TPM has.
const MAX_SELECTIONS: u32 = 16;

impl PcrSelection {
    /// A selection of these PCRs (0 to 23) of a bank.
    pub fn new(hash: HashAlgorithm, indices: &[u8]) -> Result<Self, DecodeError> {
        let mut bitmap = vec![0; MIN_BITMAP];
        for &index in indices {
            *bitmap
                .get_mut(usize::from(index / 8))
                .ok_or(DecodeError::Unsupported { field: "PCR index", value: index.into() })? |=
                1 << (index % 8);
        }
        Ok(Self { hash, bitmap })
    }

    /// The selected PCRs, ascending, which is the order in which a quote hashes them.
    pub fn indices(&self) -> Vec<u8> {
        (0u8..)
            .zip(&self.bitmap)
            .flat_map(|(byte, bits)| {
                (0..8).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| byte * 8 + bit)
            })
            .collect()
    }
}

/// PCRs of several banks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PcrSelections(Vec<PcrSelection>);

impl PcrSelections {
    /// A list of selections, at most 16.
    pub fn new(selections: Vec<PcrSelection>) -> Result<Self, DecodeError> {
        if selections.len() > MAX_SELECTIONS as usize {
            return Err(DecodeError::TooLong {
                field: "PCR selections",
                length: selections.len(),
                limit: MAX_SELECTIONS as usize,
            });
        }
        Ok(Self(selections))
    }

    /// The selections in their order.
    pub fn as_slice(&self) -> &[PcrSelection] {
        &self.0
    }

    /// Parses a `TPML_PCR_SELECTION`.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let selections = Self::read(&mut reader)?;
        reader.finish("TPML_PCR_SELECTION")?;
        Ok(selections)
    }

    /// Marshals a `TPML_PCR_SELECTION`.
    pub fn marshal(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.write(&mut writer);
        writer.finish()
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.u32("PCR selection count")?;
        if count > MAX_SELECTIONS {
            return Err(DecodeError::Unsupported { field: "PCR selection count", value: count });
        }
        let selections = (0..count).map(|_| {
            let id = reader.u16("PCR bank")?;
            let hash = HashAlgorithm::from_id(id)
                .ok_or(DecodeError::Unsupported { field: "PCR bank", value: id.into() })?;
            let size = reader.u8("sizeofSelect")?;
            if !(MIN_BITMAP..=MAX_BITMAP).contains(&usize::from(size)) {
                return Err(DecodeError::Unsupported { field: "sizeofSelect", value: size.into() });
            }
            let bitmap = reader.take(size.into(), "pcrSelect")?.to_vec();
            Ok(PcrSelection { hash, bitmap })
        });
        selections.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        #[allow(clippy::cast_possible_truncation)] // at most MAX_SELECTIONS
        writer.u32(self.0.len() as u32);
        for selection in &self.0 {
            #[allow(clippy::cast_possible_truncation)] // at most MAX_BITMAP
            writer
                .u16(selection.hash.id())
                .bytes(&[selection.bitmap.len() as u8])
                .bytes(&selection.bitmap);
        }
    }
}
