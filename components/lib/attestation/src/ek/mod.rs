//! Endorsement keys and their certificates.

mod certificate;
mod time;
mod tlv;

pub use certificate::{EkCertificate, EkCertificateError};

use crate::hash::sha256;

/// The value under which an operator registers a TPM: SHA-256 of the EK's `SubjectPublicKeyInfo`.
pub fn ek_sha256(spki_der: &[u8]) -> [u8; 32] {
    sha256(&[spki_der])
}
