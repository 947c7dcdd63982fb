//! The endorsement key: which TPM this is.

use sha2::{Digest, Sha256};
use tss_esapi::handles::{KeyHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::structures::Public;

use crate::key::{marshal, name_of};
use crate::{Key, Tpm, TpmError, template};

/// Where the TCG EK Credential Profile puts the RSA-2048 endorsement key.
const EK_HANDLE: u32 = 0x8101_0001;
/// Its certificate (section 2.2.1.4 of the profile).
const EK_CERTIFICATE_INDEX: u32 = 0x01c0_0002;
/// Certificates of the CAs above it (section 2.2.1.5.2 of the profile).
const EK_CHAIN_INDICES: std::ops::RangeInclusive<u32> = 0x01c0_0100..=0x01c0_01ff;
/// `TPM_RH_ENDORSEMENT`.
const ENDORSEMENT_HIERARCHY: [u8; 4] = 0x4000_000b_u32.to_be_bytes();
const LABEL: &str = "endorsement key";

/// The endorsement key's public side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EkInfo {
    /// The marshalled `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// DER certificates found in the TPM: the key's own first, then its CAs'. Empty if there are
    /// none. They are as the manufacturer wrote them, which is often not strict DER.
    pub certificates: Vec<Vec<u8>>,
}

impl Tpm {
    /// Reads the RSA-2048 endorsement key and its certificates.
    pub fn ek(&self) -> Result<EkInfo, TpmError> {
        let public = marshal("TPMT_PUBLIC of the endorsement key", self.load_ek()?.public())?;
        let own = self.certificates_at(EK_CERTIFICATE_INDEX)?;
        let mut certificates: Vec<_> = own.into_iter().take(1).collect();
        if !certificates.is_empty() {
            for index in self.nv_indices(EK_CHAIN_INDICES)? {
                certificates.extend(self.certificates_at(index)?);
            }
        }
        Ok(EkInfo { public, certificates })
    }

    /// Uses the stored endorsement key if it is what the standard template yields, else derives it.
    pub(crate) fn load_ek(&self) -> Result<Key<'_>, TpmError> {
        if let Some(key) = self.stored_ek()? {
            return Ok(key);
        }
        self.create_primary(Hierarchy::Endorsement, LABEL, template::ek())
    }

    fn stored_ek(&self) -> Result<Option<Key<'_>>, TpmError> {
        if self.handles_in(EK_HANDLE..=EK_HANDLE)?.is_empty() {
            return Ok(None);
        }
        let template = template::ek().map_err(|e| TpmError::command("ReadPublic", LABEL, e))?;
        let handle = self.run("ReadPublic", "handle 0x81010001", |tpm| {
            let handle = TpmHandle::Persistent(PersistentTpmHandle::new(EK_HANDLE)?);
            tpm.tr_from_tpm_public(handle).map(KeyHandle::from)
        })?;
        let (public, name, qualified_name) =
            self.run("ReadPublic", "handle 0x81010001", |tpm| tpm.read_public(handle))?;
        let key = self.persistent_key(handle, public.clone(), LABEL)?;
        let expected_name = name_of(&marshal("TPMT_PUBLIC", &public)?);
        let is_standard = follows(&public, &template)
            && name.value() == expected_name.as_bytes()
            && qualified_name.value() == primary_qualified_name(name.value());
        Ok(is_standard.then_some(key))
    }

    fn certificates_at(&self, index: u32) -> Result<Vec<Vec<u8>>, TpmError> {
        Ok(self.nv_read(index)?.map(|stored| split_der(&stored)).unwrap_or_default())
    }
}

/// Whether a public area is the template with only the key itself filled in.
fn follows(public: &Public, template: &Public) -> bool {
    match (public, template) {
        (Public::Rsa { unique, .. }, Public::Rsa { .. }) => {
            let mut filled = template.clone();
            if let Public::Rsa { unique: filled_unique, .. } = &mut filled {
                filled_unique.clone_from(unique);
            }
            filled == *public
        }
        _ => false,
    }
}

/// The Qualified Name of a key directly under the endorsement hierarchy (TPM 2.0 part 1, 16.3): a
/// key imported from outside cannot have it.
fn primary_qualified_name(name: &[u8]) -> Vec<u8> {
    let mut area = ENDORSEMENT_HIERARCHY.to_vec();
    area.extend_from_slice(name);
    let mut qualified = vec![0x00, 0x0b];
    qualified.extend_from_slice(&Sha256::digest(&area));
    qualified
}

/// Splits concatenated DER values, ignoring the padding that some manufacturers leave after them.
fn split_der(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    while let Some(length) = der_length(bytes) {
        let (value, rest) = bytes.split_at(length);
        values.push(value.to_vec());
        bytes = rest;
    }
    values
}

/// Length of the SEQUENCE, with its header, at the start of `bytes`.
fn der_length(bytes: &[u8]) -> Option<usize> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if tag != 0x30 {
        return None;
    }
    let (header, contents) = match first {
        0..=0x7f => (2, usize::from(first)),
        0x81..=0x83 => {
            let count = usize::from(first & 0x7f);
            let digits = rest.get(..count)?;
            (2 + count, digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)))
        }
        _ => return None,
    };
    let total = header + contents;
    (total <= bytes.len()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_concatenated_certificates() {
        let long = [&[0x30, 0x81, 0x80][..], &[7; 0x80]].concat();
        let cases: [(&str, Vec<u8>, usize); 6] = [
            ("nothing", vec![], 0),
            ("one", vec![0x30, 1, 9], 1),
            ("two", [&[0x30, 1, 9][..], &long].concat(), 2),
            ("padding", [&long[..], &[0xff; 40]].concat(), 1),
            ("cut short", vec![0x30, 5, 1, 2], 0),
            ("not a sequence", vec![0x04, 1, 2], 0),
        ];
        for (name, bytes, count) in cases {
            let values = split_der(&bytes);
            assert_eq!(values.len(), count, "{name}");
            assert!(bytes.starts_with(&values.concat()), "{name}");
        }
    }
}
