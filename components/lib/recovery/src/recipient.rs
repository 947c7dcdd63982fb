//! The operator's public key.

use der::Decode as _;
use der::asn1::ObjectIdentifier;
use der::pem::PemLabel as _;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use rsa::traits::PublicKeyParts as _;
use sha2::{Digest as _, Sha256};
use spki::{DecodePublicKey as _, EncodePublicKey as _, SubjectPublicKeyInfoRef};

use crate::RecoveryError;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const LEAST_RSA_BITS: usize = 2048;

/// A public key to which recovery keys are wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub(crate) key: PublicKey,
    sha256: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicKey {
    P256(p256::PublicKey),
    Rsa(rsa::RsaPublicKey),
}

impl Recipient {
    /// Reads a `SubjectPublicKeyInfo`.
    pub fn from_spki(spki: &[u8]) -> Result<Self, RecoveryError> {
        let unusable = |why: &dyn core::fmt::Display| RecoveryError::Recipient(why.to_string());
        let parsed = SubjectPublicKeyInfoRef::from_der(spki).map_err(|e| unusable(&e))?;
        let key = if parsed.algorithm.oid == EC_PUBLIC_KEY {
            PublicKey::P256(p256::PublicKey::from_public_key_der(spki).map_err(|e| unusable(&e))?)
        } else if parsed.algorithm.oid == RSA_ENCRYPTION {
            let key = rsa::RsaPublicKey::from_public_key_der(spki).map_err(|e| unusable(&e))?;
            if key.n().bits() < LEAST_RSA_BITS {
                return Err(unusable(&format_args!("it has {} bits", key.n().bits())));
            }
            PublicKey::Rsa(key)
        } else {
            return Err(unusable(&format_args!("algorithm {}", parsed.algorithm.oid)));
        };
        Ok(Self { key, sha256: Sha256::digest(spki).into() })
    }

    /// Reads a `PUBLIC KEY` in PEM.
    pub fn from_pem(pem: &str) -> Result<Self, RecoveryError> {
        let unusable = |why: String| RecoveryError::Recipient(why);
        let (label, der) =
            der::pem::decode_vec(pem.as_bytes()).map_err(|e| unusable(e.to_string()))?;
        if label != SubjectPublicKeyInfoRef::PEM_LABEL {
            return Err(unusable(format!(
                "the PEM block is of {label:?}, expected \"PUBLIC KEY\""
            )));
        }
        Self::from_spki(&der)
    }

    pub(crate) fn of_p256(key: p256::PublicKey) -> Result<Self, RecoveryError> {
        let spki = key.to_public_key_der().map_err(|e| RecoveryError::Operator(e.to_string()))?;
        Ok(Self { sha256: Sha256::digest(spki.as_bytes()).into(), key: PublicKey::P256(key) })
    }

    pub(crate) fn of_rsa(key: rsa::RsaPublicKey) -> Result<Self, RecoveryError> {
        let spki = key.to_public_key_der().map_err(|e| RecoveryError::Operator(e.to_string()))?;
        Ok(Self { sha256: Sha256::digest(spki.as_bytes()).into(), key: PublicKey::Rsa(key) })
    }

    /// SHA-256 of its `SubjectPublicKeyInfo`.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The key identifier in messages: the leftmost 160 bits of the hash of the key information,
    /// after RFC 7093, section 2, method 4.
    pub(crate) fn identifier(&self) -> &[u8] {
        &self.sha256[..20]
    }

    /// The key in PEM.
    pub fn to_pem(&self) -> Result<String, RecoveryError> {
        let pem = match &self.key {
            PublicKey::P256(key) => key.to_public_key_pem(der::pem::LineEnding::LF),
            PublicKey::Rsa(key) => key.to_public_key_pem(der::pem::LineEnding::LF),
        };
        pem.map_err(|error| RecoveryError::Recipient(error.to_string()))
    }
}

/// The uncompressed point of a P-256 key.
pub(crate) fn point(key: &p256::PublicKey) -> Vec<u8> {
    key.to_encoded_point(false).as_bytes().to_vec()
}
