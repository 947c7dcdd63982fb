//! Platform configuration registers, SHA-256 bank.

use holdfast_attestation::pcr::PcrValue;
use sha2::{Digest as _, Sha256};
use tss_esapi::handles::PcrHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{Digest, DigestValues, PcrSelectionList, PcrSlot};

use crate::{Tpm, TpmError};

impl Tpm {
    /// Reads registers, in the order given.
    pub fn pcr_read(&self, indices: &[u8]) -> Result<Vec<PcrValue>, TpmError> {
        indices.iter().map(|&index| self.pcr_value(index)).collect()
    }

    pub(crate) fn pcr_value(&self, index: u8) -> Result<PcrValue, TpmError> {
        const OPERATION: &str = "PCR_Read";
        let label = label(index);
        let selection = selection(OPERATION, &[index])?;
        let (_, _, digests) = self.run(OPERATION, &label, |tpm| tpm.pcr_read(selection))?;
        let value = digests.value().first().map(Digest::value);
        let digest = value.and_then(|value| value.try_into().ok()).ok_or_else(|| {
            TpmError::check(OPERATION, &label, "the TPM has no SHA-256 value; enable that bank")
        })?;
        Ok(PcrValue { index, digest })
    }

    /// Extends a register of the SHA-256 bank: new value = SHA-256(old value || digest).
    pub fn pcr_extend(&self, index: u8, digest: &[u8; 32]) -> Result<(), TpmError> {
        let label = label(index);
        self.run_empty_auth("PCR_Extend", &label, |tpm| {
            let mut values = DigestValues::new();
            values.set(HashingAlgorithm::Sha256, Digest::try_from(digest.as_slice())?);
            tpm.pcr_extend(PcrHandle::try_from(u32::from(index))?, values)
        })
    }
}

/// The digest that `TPM2_Quote` and `TPM2_PolicyPCR` make over PCR values in ascending order.
pub(crate) fn composite_digest(values: &[PcrValue]) -> [u8; 32] {
    let mut ascending = values.to_vec();
    ascending.sort_by_key(|value| value.index);
    ascending
        .iter()
        .fold(Sha256::new(), |hash, value| hash.chain_update(value.digest))
        .finalize()
        .into()
}

pub(crate) fn selection(
    operation: &'static str,
    indices: &[u8],
) -> Result<PcrSelectionList, TpmError> {
    let slots: Result<Vec<PcrSlot>, TpmError> = indices
        .iter()
        .map(|&index| {
            let bit = 1_u32.checked_shl(index.into()).filter(|_| index < 24);
            bit.and_then(|bit| PcrSlot::try_from(bit).ok())
                .ok_or_else(|| TpmError::check(operation, &label(index), "no such register"))
        })
        .collect();
    PcrSelectionList::builder()
        .with_selection(HashingAlgorithm::Sha256, &slots?)
        .build()
        .map_err(|source| TpmError::command(operation, "PCR selection", source))
}

fn label(index: u8) -> String {
    format!("PCR {index}")
}
