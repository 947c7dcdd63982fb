//! Private keys of the authority at rest: PKCS#8, encrypted where a passphrase is given.

use std::path::Path;

use pkcs8::{DecodePrivateKey as _, EncryptedPrivateKeyInfo, PrivateKeyInfo};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::CaError;
use crate::files::{self, Readers};

/// A passphrase, wiped when dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Reads the first line of a file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = Zeroizing::new(files::read_text(path)?);
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            return Err(KeyError::EmptyPassphrase(path.display().to_string()));
        }
        Ok(Self(Zeroizing::new(line.to_owned())))
    }

    /// From memory.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

/// Why a private key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// The passphrase file has no passphrase.
    #[error("the first line of {0} is empty, a passphrase was expected there")]
    EmptyPassphrase(String),
    /// The key is encrypted and no passphrase was given.
    #[error("{0} is encrypted: give its passphrase file")]
    PassphraseNeeded(String),
    /// The passphrase does not open the key.
    #[error("the passphrase does not open {0}")]
    WrongPassphrase(String),
    /// The file is not a PKCS#8 key of ECDSA P-256.
    #[error("{path} is not a PKCS#8 key of ECDSA P-256: {detail}")]
    Unusable {
        /// File.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// There is a file already.
    #[error("{0} exists; a key is never written over another one")]
    Exists(String),
    /// The key could not be made or encrypted.
    #[error("cannot make a key: {0}")]
    Make(String),
}

/// Makes an ECDSA P-256 key.
pub(super) fn generate() -> Result<KeyPair, KeyError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| KeyError::Make(e.to_string()))
}

/// Writes a key, readable by its owner only.
pub(super) fn write(
    path: &Path,
    key: &KeyPair,
    passphrase: Option<&Passphrase>,
) -> Result<(), KeyError> {
    let der = Zeroizing::new(key.serialize_der());
    let info =
        PrivateKeyInfo::try_from(der.as_slice()).map_err(|e| KeyError::Make(e.to_string()))?;
    let make = |e: &dyn std::fmt::Display| KeyError::Make(e.to_string());
    let pem = match passphrase {
        Some(passphrase) => {
            let mut salt = [0; 16];
            let mut iv = [0; 16];
            for bytes in [&mut salt, &mut iv] {
                aws_lc_rs::rand::fill(bytes).map_err(|e| make(&e))?;
            }
            // OpenSSL opens PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC (RFC 8018) everywhere.
            let parameters =
                pkcs8::pkcs5::pbes2::Parameters::pbkdf2_sha256_aes256cbc(ROUNDS, &salt, &iv)
                    .map_err(|e| make(&e))?;
            info.encrypt_with_params(parameters, passphrase.0.as_bytes())
                .map_err(|e| make(&e))?
                .to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF)
                .map_err(|e| make(&e))?
        }
        None => Zeroizing::new(key.serialize_pem()),
    };
    Ok(files::write(path, pem.as_bytes(), Readers::Owner)?)
}

/// OWASP's figure for PBKDF2-HMAC-SHA256 (Password Storage Cheat Sheet, 2023).
const ROUNDS: u32 = 600_000;

/// Reads a key that [`write`] or OpenSSL wrote.
pub(super) fn read(path: &Path, passphrase: Option<&Passphrase>) -> Result<KeyPair, KeyError> {
    let shown = path.display().to_string();
    let unusable = |detail: String| KeyError::Unusable { path: shown.clone(), detail };
    let pem = Zeroizing::new(files::read_text(path)?);
    let (label, document) =
        pkcs8::SecretDocument::from_pem(&pem).map_err(|e| unusable(e.to_string()))?;
    let plain = if label == "ENCRYPTED PRIVATE KEY" {
        let passphrase = passphrase.ok_or_else(|| KeyError::PassphraseNeeded(shown.clone()))?;
        EncryptedPrivateKeyInfo::try_from(document.as_bytes())
            .map_err(|e| unusable(e.to_string()))?
            .decrypt(passphrase.0.as_bytes())
            .map_err(|_| KeyError::WrongPassphrase(shown.clone()))?
    } else {
        document
    };
    let key = PrivatePkcs8KeyDer::from(plain.as_bytes());
    KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256)
        .map_err(|e| unusable(e.to_string()))
}

/// Whether a key needs a passphrase.
pub(super) fn is_encrypted(path: &Path) -> Result<bool, KeyError> {
    Ok(Zeroizing::new(files::read_text(path)?).contains("ENCRYPTED PRIVATE KEY"))
}

/// Reads the key of a root, from wherever the operator keeps it.
pub fn read_root_key(path: &Path, passphrase: Option<&Passphrase>) -> Result<KeyPair, KeyError> {
    read(path, passphrase)
}

/// Writes the key of a new root where nothing is yet.
pub fn write_root_key(
    path: &Path,
    key: &KeyPair,
    passphrase: Option<&Passphrase>,
) -> Result<(), KeyError> {
    if path.exists() {
        return Err(KeyError::Exists(path.display().to_string()));
    }
    write(path, key, passphrase)
}

/// Reads a P-256 signing key that signs documents (site configurations), PKCS#8 or SEC1.
pub fn read_document_key(path: &Path) -> Result<p256::ecdsa::SigningKey, KeyError> {
    let pem = Zeroizing::new(files::read_text(path)?);
    p256::SecretKey::from_pkcs8_pem(&pem)
        .or_else(|_| p256::SecretKey::from_sec1_pem(&pem))
        .map(p256::ecdsa::SigningKey::from)
        .map_err(|e| KeyError::Unusable { path: path.display().to_string(), detail: e.to_string() })
}

impl From<KeyError> for String {
    fn from(error: KeyError) -> Self {
        error.to_string()
    }
}

/// Fills with random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], CaError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CaError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let key = generate().unwrap();
        write(&path, &key, Some(&Passphrase::new("correct horse"))).unwrap();

        let text = files::read_text(&path).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{text}");
        assert!(matches!(read(&path, None), Err(KeyError::PassphraseNeeded(_))));
        let wrong = Passphrase::new("battery staple");
        assert!(matches!(read(&path, Some(&wrong)), Err(KeyError::WrongPassphrase(_))));
        let opened = read(&path, Some(&Passphrase::new("correct horse"))).unwrap();
        assert_eq!(opened.serialize_der(), key.serialize_der());
    }
}
