//! The operator's private key. It never leaves his machine.

use pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncryptedPrivateKeyInfo, LineEnding,
    PrivateKeyInfo, SecretDocument,
};
use rand_core::{CryptoRngCore, OsRng, RngCore as _};
use zeroize::Zeroizing;

use crate::{Recipient, RecoveryError};

/// OWASP's figure for PBKDF2-HMAC-SHA256 (Password Storage Cheat Sheet, 2023).
const ROUNDS: u32 = 600_000;
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// A private key that opens wrapped recovery keys.
#[derive(Clone)]
pub struct Operator {
    pub(crate) key: PrivateKey,
    recipient: Recipient,
}

#[derive(Clone)]
pub(crate) enum PrivateKey {
    P256(p256::SecretKey),
    Rsa(Box<rsa::RsaPrivateKey>),
}

impl Operator {
    /// Makes a key on the curve P-256.
    pub fn generate(random: &mut impl CryptoRngCore) -> Result<Self, RecoveryError> {
        let key = p256::SecretKey::random(random);
        Ok(Self { recipient: Recipient::of_p256(key.public_key())?, key: PrivateKey::P256(key) })
    }

    /// Whether a key in PEM needs a passphrase.
    pub fn is_encrypted(pem: &str) -> bool {
        pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    }

    /// Reads PKCS#8, encrypted or not, or the older forms of OpenSSL without encryption.
    pub fn from_pem(pem: &str, passphrase: Option<&str>) -> Result<Self, RecoveryError> {
        let unusable = |why: String| RecoveryError::Operator(why);
        let key = if Self::is_encrypted(pem) {
            let passphrase = passphrase
                .ok_or_else(|| unusable("it is encrypted: give its passphrase".to_owned()))?;
            let (_, document) =
                SecretDocument::from_pem(pem).map_err(|error| unusable(error.to_string()))?;
            let plain = EncryptedPrivateKeyInfo::try_from(document.as_bytes())
                .map_err(|error| unusable(error.to_string()))?
                .decrypt(passphrase)
                .map_err(|_| unusable("the passphrase does not open it".to_owned()))?;
            p256::SecretKey::from_pkcs8_der(plain.as_bytes()).map(PrivateKey::P256).or_else(|_| {
                rsa::RsaPrivateKey::from_pkcs8_der(plain.as_bytes()).map(PrivateKey::rsa)
            })
        } else {
            p256::SecretKey::from_pkcs8_pem(pem)
                .map(PrivateKey::P256)
                .or_else(|_| p256::SecretKey::from_sec1_pem(pem).map(PrivateKey::P256))
                .or_else(|_| rsa::RsaPrivateKey::from_pkcs8_pem(pem).map(PrivateKey::rsa))
        };
        let key = key.map_err(|_| {
            unusable("it is neither a PKCS#8 key of RSA nor a key on the curve P-256".to_owned())
        })?;
        let recipient = match &key {
            PrivateKey::P256(key) => Recipient::of_p256(key.public_key())?,
            PrivateKey::Rsa(key) => Recipient::of_rsa(key.to_public_key())?,
        };
        Ok(Self { key, recipient })
    }

    /// The key in PEM, PKCS#8; encrypted if there is a passphrase.
    pub fn to_pem(&self, passphrase: Option<&str>) -> Result<Zeroizing<String>, RecoveryError> {
        let failed = |error: &dyn core::fmt::Display| RecoveryError::Operator(error.to_string());
        let der = match &self.key {
            PrivateKey::P256(key) => key.to_pkcs8_der(),
            PrivateKey::Rsa(key) => key.to_pkcs8_der(),
        };
        let der = der.map_err(|error| failed(&error))?;
        let Some(passphrase) = passphrase else {
            return der.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|error| failed(&error));
        };
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        OsRng.fill_bytes(&mut salt);
        OsRng.fill_bytes(&mut iv);
        // OpenSSL opens PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC (RFC 8018) everywhere.
        let parameters =
            pkcs8::pkcs5::pbes2::Parameters::pbkdf2_sha256_aes256cbc(ROUNDS, &salt, &iv)
                .map_err(|error| failed(&error))?;
        PrivateKeyInfo::try_from(der.as_bytes())
            .map_err(|error| failed(&error))?
            .encrypt_with_params(parameters, passphrase)
            .map_err(|error| failed(&error))?
            .to_pem(ENCRYPTED, LineEnding::LF)
            .map_err(|error| failed(&error))
    }

    /// Its public half.
    pub fn recipient(&self) -> &Recipient {
        &self.recipient
    }
}

impl PrivateKey {
    fn rsa(key: rsa::RsaPrivateKey) -> Self {
        Self::Rsa(Box::new(key))
    }
}
