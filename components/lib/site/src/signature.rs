//! The detached signature of a site configuration.

use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{DerSignature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;

use crate::error::SiteError;

/// Checks `site.toml.sig`: ECDSA on P-256 with SHA-256, in DER, over the bytes of `site.toml`.
///
/// `spki_pem` is the image's site key, a PEM `SubjectPublicKeyInfo`.
pub fn verify_signature(
    site_toml: &[u8],
    signature_der: &[u8],
    spki_pem: &str,
) -> Result<(), SiteError> {
    let key = VerifyingKey::from_public_key_pem(spki_pem)
        .map_err(|error| SiteError::VerifyingKey(error.to_string()))?;
    let signature =
        DerSignature::try_from(signature_der).map_err(|_| SiteError::SignatureEncoding)?;
    key.verify(site_toml, &signature).map_err(|_| SiteError::SignatureMismatch)
}
