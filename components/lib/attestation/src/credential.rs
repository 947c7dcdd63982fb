//! The server's half of credential activation (Part 1, 24): a secret that only the TPM with this EK
//! can recover, and only while it holds the AK of this Name.

use aes::cipher::{AsyncStreamCipher, KeyIvInit};
use aes::{Aes128, Aes256};
use rand_core::CryptoRngCore;
use rsa::Oaep;
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::hash::HashAlgorithm;
use crate::key::{SignatureError, VerifyingKey};
use crate::tpm::{Name, ObjectAttributes, Parameters, Public, Symmetric, SymmetricMode};

/// Label of the secret's encryption (Part 1, 24.4), with the NUL that the TPM counts in.
const IDENTITY: &str = "IDENTITY\0";
/// Label of the cipher key (Part 1, 24.4).
const STORAGE: &[u8] = b"STORAGE";
/// Label of the HMAC key (Part 1, 24.4).
const INTEGRITY: &[u8] = b"INTEGRITY";

/// A challenge that `TPM2_ActivateCredential` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialBlob {
    /// Contents of the `TPM2B_ID_OBJECT`.
    pub id_object: Vec<u8>,
    /// Contents of the `TPM2B_ENCRYPTED_SECRET`.
    pub encrypted_secret: Vec<u8>,
}

/// Why no challenge could be made for a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The key is not an endorsement key.
    #[error("the EK is no restricted decryption key; its attributes are {0}")]
    NotRestrictedDecryption(ObjectAttributes),
    /// The key is of a kind that is not supported.
    #[error("the EK is not an RSA key with AES-128 or AES-256 in CFB mode")]
    UnsupportedKind,
    /// The key itself is not valid.
    #[error("the EK is not valid: {0}")]
    Key(#[from] SignatureError),
    /// The secret is longer than a digest of the EK's name algorithm.
    #[error("a secret of {0} bytes is too long for this EK")]
    SecretLength(usize),
    /// The seed could not be encrypted.
    #[error("the seed could not be encrypted: {0}")]
    Encryption(String),
}

/// Makes a challenge around `secret` for the TPM with this RSA EK and the AK with this Name.
pub fn make_credential(
    ek: &Public,
    ak_name: &Name,
    secret: &[u8],
    rng: &mut impl CryptoRngCore,
) -> Result<CredentialBlob, CredentialError> {
    let restricted_decryption = ObjectAttributes::RESTRICTED | ObjectAttributes::DECRYPT;
    if !ek.attributes.contains(restricted_decryption) {
        return Err(CredentialError::NotRestrictedDecryption(ek.attributes));
    }
    let Parameters::Rsa {
        symmetric: Symmetric::Aes { key_bits: key_bits @ (128 | 256), mode: SymmetricMode::Cfb },
        ..
    } = ek.parameters
    else {
        return Err(CredentialError::UnsupportedKind);
    };
    let VerifyingKey::Rsa(key) = VerifyingKey::from_tpm(ek)? else {
        return Err(CredentialError::UnsupportedKind);
    };
    let hash = ek.name_algorithm;
    if secret.len() > hash.size() {
        return Err(CredentialError::SecretLength(secret.len()));
    }

    let mut seed = Zeroizing::new(vec![0; hash.size()]);
    rng.fill_bytes(&mut seed);
    let padding = match hash {
        HashAlgorithm::Sha256 => Oaep::new_with_label::<Sha256, _>(IDENTITY),
        HashAlgorithm::Sha384 => Oaep::new_with_label::<Sha384, _>(IDENTITY),
        HashAlgorithm::Sha512 => Oaep::new_with_label::<Sha512, _>(IDENTITY),
    };
    let encrypted_secret = key
        .encrypt(rng, padding, &seed)
        .map_err(|error| CredentialError::Encryption(error.to_string()))?;

    let mut encrypted_identity = sized(secret);
    let cipher_key = kdfa(hash, &seed, STORAGE, ak_name.as_bytes(), key_bits);
    encrypt_cfb(&cipher_key, &mut encrypted_identity)
        .map_err(|error| CredentialError::Encryption(error.to_string()))?;
    let hmac_bits = u16::try_from(hash.size() * 8).unwrap_or(u16::MAX);
    let hmac_key = kdfa(hash, &seed, INTEGRITY, &[], hmac_bits);
    let integrity = hash.hmac(&hmac_key, &[&encrypted_identity, ak_name.as_bytes()]);
    Ok(CredentialBlob {
        id_object: [sized(&integrity), encrypted_identity].concat(),
        encrypted_secret,
    })
}

/// A `TPM2B`; the callers' inputs are digests or shorter.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// `KDFa` with an empty `contextV` (Part 1, 11.4.10.2): SP 800-108 in counter mode.
fn kdfa(
    hash: HashAlgorithm,
    key: &[u8],
    label: &[u8],
    context_u: &[u8],
    bits: u16,
) -> Zeroizing<Vec<u8>> {
    let length = usize::from(bits / 8);
    let bits = u32::from(bits).to_be_bytes();
    let mut output = Zeroizing::new(Vec::with_capacity(length + hash.size()));
    for counter in 1_u32.. {
        if output.len() >= length {
            break;
        }
        let block = hash.hmac(key, &[&counter.to_be_bytes(), label, &[0], context_u, &bits]);
        output.extend_from_slice(&block);
    }
    output.truncate(length);
    output
}

/// CFB with an initial vector of zero, as storage keys protect (Part 1, 22.4).
fn encrypt_cfb(key: &[u8], data: &mut [u8]) -> Result<(), aes::cipher::InvalidLength> {
    const IV: [u8; 16] = [0; 16];
    if key.len() == 16 {
        cfb_mode::Encryptor::<Aes128>::new_from_slices(key, &IV)?.encrypt(data);
    } else {
        cfb_mode::Encryptor::<Aes256>::new_from_slices(key, &IV)?.encrypt(data);
    }
    Ok(())
}
