//! Platform configuration registers, SHA-256 bank.

use sha2::{Digest as _, Sha256};
use tss_esapi::handles::PcrHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{Digest, DigestValues, PcrSelectionList, PcrSlot};

use crate::{Tpm, TpmError};

/// A PCR and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcrValue {
    /// Number of the register, 0 to 23.
    pub index: u32,
    /// Its value in the SHA-256 bank.
    pub sha256: [u8; 32],
}

impl Tpm {
    /// Reads registers, in the order given.
    pub fn pcr_read(&self, indices: &[u32]) -> Result<Vec<PcrValue>, TpmError> {
        indices.iter().map(|&index| self.pcr_value(index)).collect()
    }

    fn pcr_value(&self, index: u32) -> Result<PcrValue, TpmError> {
        const OPERATION: &str = "PCR_Read";
        let label = label(index);
        let selection = selection(OPERATION, &[index])?;
        let (_, _, digests) = self.run(OPERATION, &label, |tpm| tpm.pcr_read(selection))?;
        let digest = digests.value().first().map(|digest| digest.value());
        let sha256 = digest.and_then(|value| value.try_into().ok()).ok_or_else(|| {
            TpmError::check(OPERATION, &label, "the TPM has no SHA-256 value; enable that bank")
        })?;
        Ok(PcrValue { index, sha256 })
    }

    /// Extends a register of the SHA-256 bank: new value = SHA-256(old value || digest).
    pub fn pcr_extend(&self, index: u32, digest: &[u8; 32]) -> Result<(), TpmError> {
        let label = label(index);
        self.run_empty_auth("PCR_Extend", &label, |tpm| {
            let mut values = DigestValues::new();
            values.set(HashingAlgorithm::Sha256, Digest::try_from(digest.as_slice())?);
            tpm.pcr_extend(PcrHandle::try_from(index)?, values)
        })
    }
}

/// The digest that `TPM2_Quote` and `TPM2_PolicyPCR` make over PCR values in ascending order.
pub(crate) fn composite_digest(values: &[PcrValue]) -> [u8; 32] {
    let mut ascending = values.to_vec();
    ascending.sort_by_key(|value| value.index);
    ascending
        .iter()
        .fold(Sha256::new(), |hash, value| hash.chain_update(value.sha256))
        .finalize()
        .into()
}

pub(crate) fn selection(
    operation: &'static str,
    indices: &[u32],
) -> Result<PcrSelectionList, TpmError> {
    let slots: Result<Vec<PcrSlot>, TpmError> = indices
        .iter()
        .map(|&index| {
            let bit = 1_u32.checked_shl(index).filter(|_| index < 24);
            bit.and_then(|bit| PcrSlot::try_from(bit).ok())
                .ok_or_else(|| TpmError::check(operation, &label(index), "no such register"))
        })
        .collect();
    PcrSelectionList::builder()
        .with_selection(HashingAlgorithm::Sha256, &slots?)
        .build()
        .map_err(|source| TpmError::command(operation, "PCR selection", source))
}

fn label(index: u32) -> String {
    format!("PCR {index}")
}
