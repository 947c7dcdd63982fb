//! A key that signs tokens.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use pkcs8::{LineEnding, SecretDocument};
use zeroize::Zeroizing;

use super::{Jwk, TokenKeyError};

const LABEL: &str = "PRIVATE KEY";

/// An ECDSA P-256 key with its public half as verifiers see it.
pub(super) struct SigningKey {
    pair: EcdsaKeyPair,
    jwk: Jwk,
}

impl SigningKey {
    /// Makes a key; its PKCS#8 in PEM comes along for the file.
    pub(super) fn generate() -> Result<(Self, Zeroizing<String>), TokenKeyError> {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|error| TokenKeyError::Crypto(error.to_string()))?;
        let text = SecretDocument::try_from(document.as_ref())
            .and_then(|document| document.to_pem(LABEL, LineEnding::LF))
            .map_err(|error| TokenKeyError::Crypto(error.to_string()))?;
        let key = Self::from_pkcs8_der(document.as_ref()).map_err(TokenKeyError::Crypto)?;
        Ok((key, text))
    }

    pub(super) fn from_pem(text: &str) -> Result<Self, String> {
        let (label, document) =
            SecretDocument::from_pem(text).map_err(|error| error.to_string())?;
        if label != LABEL {
            return Err(format!("a {label}, a {LABEL} was expected"));
        }
        Self::from_pkcs8_der(document.as_bytes())
    }

    fn from_pkcs8_der(der: &[u8]) -> Result<Self, String> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map_err(|error| error.to_string())?;
        let jwk = Jwk::from_point(pair.public_key().as_ref())
            .ok_or_else(|| "its public key is not an uncompressed point".to_owned())?;
        Ok(Self { pair, jwk })
    }

    pub(super) fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// An ES256 signature: r and s, 32 bytes each (RFC 7518, section 3.4).
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TokenKeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|error| TokenKeyError::Crypto(error.to_string()))?;
        Ok(signature.as_ref().to_vec())
    }
}
