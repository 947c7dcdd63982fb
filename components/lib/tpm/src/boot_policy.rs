//! Policies that a signed boot satisfies.
//!
//! The signer of the operating system predicts the values of PCR 11 and signs, for each, the
//! digest of the policy "PCR 11 has this value". An object whose policy is "whatever this key
//! signed" (`TPM2_PolicyAuthorize`) then opens under every signed system, also a later one.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use der::{Decode, Encode};
use holdfast_attestation::pcr::{KERNEL_PCR, PcrValue};
use holdfast_attestation::tpm::Name;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use spki::SubjectPublicKeyInfoRef;

use crate::key::{marshal, name_of};
use crate::pcr::composite_digest;
use crate::{TpmError, template};

const SIGNATURES: &str = "PCR signature file";
const PUBLIC_KEY: &str = "PCR public key";
const COMMAND_POLICY_AUTHORIZE: u32 = 0x0000_016a;
const COMMAND_POLICY_PCR: u32 = 0x0000_017f;
const DEFAULT_EXPONENT: [u8; 3] = [1, 0, 1];

/// The PCR policies signed for the running system, and the key that signed them.
#[derive(Debug, Clone)]
pub struct BootPolicy {
    modulus: Vec<u8>,
    signer: Name,
    fingerprint: [u8; 32],
    policies: Vec<SignedPolicy>,
}

/// One value of PCR 11, signed.
#[derive(Debug, Clone)]
pub(crate) struct SignedPolicy {
    pub(crate) digest: PolicyDigest,
    pub(crate) signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Entry {
    pcrs: Vec<u8>,
    pkfp: String,
    pol: String,
    sig: String,
}

impl BootPolicy {
    /// Reads systemd's `tpm2-pcr-signature.json` and `tpm2-pcr-public-key.pem`.
    ///
    /// Entries of other keys or for other registers are passed over.
    pub fn load(signature_json: &str, public_key_pem: &str) -> Result<Self, TpmError> {
        let modulus = modulus(public_key_pem)?;
        let fingerprint = fingerprint(&modulus).map_err(|e| TpmError::malformed(PUBLIC_KEY, e))?;
        let area = template::policy_signer(&modulus)
            .map_err(|error| TpmError::malformed(PUBLIC_KEY, error))?;
        let signer = name_of(&marshal(PUBLIC_KEY, &area)?);

        let mut banks: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(signature_json)
                .map_err(|error| TpmError::malformed(SIGNATURES, error))?;
        let bank = banks
            .remove("sha256")
            .ok_or_else(|| TpmError::malformed(SIGNATURES, "it has no \"sha256\""))?;
        let entries: Vec<Entry> = serde_json::from_value(bank)
            .map_err(|error| TpmError::malformed(SIGNATURES, format!("sha256: {error}")))?;
        let wanted = hex::encode(fingerprint);
        let policies = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| {
                entry.pcrs == [KERNEL_PCR] && entry.pkfp.eq_ignore_ascii_case(&wanted)
            })
            .map(|(number, entry)| entry.parse(number))
            .collect::<Result<_, _>>()?;
        Ok(Self { modulus, signer, fingerprint, policies })
    }

    /// SHA-256 of the signing key, as systemd computes it: over its PKCS #1 encoding.
    pub fn key_fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The policy of objects that open under every system signed with this key.
    pub(crate) fn authorized(&self) -> PolicyDigest {
        PolicyDigest::authorized_by(&self.signer)
    }

    /// The policy of a key slot that systemd seals to this key's signatures of PCR 11 and to these
    /// register values (`tpm2_calculate_sealing_policy` of systemd 257): the key first, which
    /// systemd writes with its exponent, and therefore under another Name than ours.
    pub fn sealing_policy(&self, values: &[PcrValue]) -> [u8; 32] {
        PolicyDigest::authorized_by_name(&systemd_name(&self.modulus)).and_pcrs(values).0
    }

    pub(crate) fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    pub(crate) fn signer(&self) -> &Name {
        &self.signer
    }

    /// The signed policy that the current value of PCR 11 satisfies.
    pub(crate) fn matching(&self, pcr11: PcrValue) -> Result<&SignedPolicy, TpmError> {
        let current = PolicyDigest::EMPTY.and_pcrs(&[pcr11]);
        self.policies.iter().find(|policy| policy.digest == current).ok_or_else(|| {
            TpmError::BootNotSigned {
                pcr11: hex::encode(pcr11.digest),
                key_fingerprint: hex::encode(self.fingerprint),
            }
        })
    }
}

impl Entry {
    fn parse(&self, number: usize) -> Result<SignedPolicy, TpmError> {
        let bad = |field: &str, why: String| {
            TpmError::malformed(SIGNATURES, format!("sha256[{number}].{field}: {why}"))
        };
        let mut digest = [0; 32];
        hex::decode_to_slice(&self.pol, &mut digest).map_err(|e| bad("pol", e.to_string()))?;
        let signature = BASE64.decode(&self.sig).map_err(|e| bad("sig", e.to_string()))?;
        Ok(SignedPolicy { digest: PolicyDigest(digest), signature })
    }
}

/// A policy digest with SHA-256 (TPM 2.0 part 1, section 19.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PolicyDigest(pub(crate) [u8; 32]);

impl PolicyDigest {
    const EMPTY: Self = Self([0; 32]);

    /// `TPM2_PolicyPCR`: and these registers of the SHA-256 bank have these values.
    pub(crate) fn and_pcrs(self, values: &[PcrValue]) -> Self {
        let mut selected = [0_u8; 3];
        for value in values {
            if let Some(byte) = selected.get_mut(usize::from(value.index / 8)) {
                *byte |= 1 << (value.index % 8);
            }
        }
        let hash = Sha256::new()
            .chain_update(self.0)
            .chain_update(COMMAND_POLICY_PCR.to_be_bytes())
            .chain_update([0, 0, 0, 1, 0, 0x0b, 3]) // one selection, SHA-256, 3 bytes
            .chain_update(selected)
            .chain_update(composite_digest(values));
        Self(hash.finalize().into())
    }

    /// `TPM2_PolicyAuthorize` without reference: whatever policy the key with this Name signed.
    pub(crate) fn authorized_by(signer: &Name) -> Self {
        Self::authorized_by_name(signer.as_bytes())
    }

    fn authorized_by_name(signer: &[u8]) -> Self {
        let hash = Sha256::new()
            .chain_update(Self::EMPTY.0)
            .chain_update(COMMAND_POLICY_AUTHORIZE.to_be_bytes())
            .chain_update(signer);
        // The second round takes in the reference, which is empty.
        Self(Sha256::digest(hash.finalize()).into())
    }
}

/// The Name of an RSA key as systemd loads it: a `TPMT_PUBLIC` for signing and decryption with
/// SHA-256, without symmetric algorithm and scheme, and with the exponent 65537 spelled out.
fn systemd_name(modulus: &[u8]) -> Vec<u8> {
    const RSA: u16 = 0x0001;
    const SHA256: u16 = 0x000b;
    const NULL: u16 = 0x0010;
    // userWithAuth, decrypt, sign.
    const ATTRIBUTES: u32 = 1 << 6 | 1 << 17 | 1 << 18;
    let bytes = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
    let mut area = Vec::new();
    area.extend(RSA.to_be_bytes());
    area.extend(SHA256.to_be_bytes());
    area.extend(ATTRIBUTES.to_be_bytes());
    area.extend(0_u16.to_be_bytes());
    area.extend(NULL.to_be_bytes());
    area.extend(NULL.to_be_bytes());
    area.extend(bytes(modulus.len() * 8).to_be_bytes());
    area.extend(65_537_u32.to_be_bytes());
    area.extend(bytes(modulus.len()).to_be_bytes());
    area.extend(modulus);
    let mut name = SHA256.to_be_bytes().to_vec();
    name.extend(Sha256::digest(&area));
    name
}

#[derive(der::Sequence)]
struct RsaPublicKey<'a> {
    modulus: der::asn1::UintRef<'a>,
    exponent: der::asn1::UintRef<'a>,
}

fn modulus(pem: &str) -> Result<Vec<u8>, TpmError> {
    let bad = |error: der::Error| TpmError::malformed(PUBLIC_KEY, error);
    let (label, bytes) = der::pem::decode_vec(pem.as_bytes()).map_err(|e| bad(e.into()))?;
    if label != "PUBLIC KEY" {
        return Err(TpmError::malformed(PUBLIC_KEY, format!("it is a {label} PEM")));
    }
    let info = SubjectPublicKeyInfoRef::from_der(&bytes).map_err(bad)?;
    let key = RsaPublicKey::from_der(info.subject_public_key.raw_bytes())
        .map_err(|_| TpmError::malformed(PUBLIC_KEY, "it is not an RSA key"))?;
    if key.exponent.as_bytes() != DEFAULT_EXPONENT {
        return Err(TpmError::malformed(PUBLIC_KEY, "its exponent is not 65537"));
    }
    match key.modulus.as_bytes() {
        modulus if matches!(modulus.len(), 256 | 384 | 512) => Ok(modulus.to_vec()),
        modulus => {
            let bits = 8 * modulus.len();
            Err(TpmError::malformed(PUBLIC_KEY, format!("{bits} bits; must be 2048, 3072, 4096")))
        }
    }
}

fn fingerprint(modulus: &[u8]) -> der::Result<[u8; 32]> {
    let key = RsaPublicKey {
        modulus: der::asn1::UintRef::new(modulus)?,
        exponent: der::asn1::UintRef::new(&DEFAULT_EXPONENT)?,
    };
    Ok(Sha256::digest(key.to_der()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A volume that systemd-repart 257 sealed on a virtual device: the key in its token, PCR 7 of
    /// that boot, and the policy in its blob.
    #[test]
    fn the_policy_is_the_one_that_systemd_seals_to() {
        const KEY: &str = include_str!("../tests/support/sealed-by-systemd.pem");
        const PCR_7: &str = "12fc53c9a88c4fe871c24b77c9cee75427370c37e6f54e7d9080d9a7ef7a1678";
        const POLICY: &str = "8658df809306e3e8c3429ffe4a76d2317af1a7bee32f544149d7a8250affc2f9";
        let policy = BootPolicy::load(r#"{"sha256":[]}"#, KEY).unwrap();
        let mut digest = [0; 32];
        hex::decode_to_slice(PCR_7, &mut digest).unwrap();
        let secure_boot = PcrValue { index: 7, digest };
        let command_line = PcrValue { index: 12, digest: [0; 32] };
        assert_eq!(hex::encode(policy.sealing_policy(&[secure_boot, command_line])), POLICY);
        let added = PcrValue { index: 12, digest: [1; 32] };
        assert_ne!(hex::encode(policy.sealing_policy(&[secure_boot, added])), POLICY);
    }
}
