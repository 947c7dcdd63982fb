//! The message: CMS `AuthEnvelopedData` (RFC 5083) with AES-256-GCM (RFC 5084) for one recipient,
//! by ECDH on P-256 (RFC 5753) or RSA-OAEP (RFC 8017). `openssl cms -decrypt` opens it.

use aes_gcm::aead::{AeadInPlace as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use aes_kw::KekAes256;
use der::asn1::{Any, BitString, ObjectIdentifier, OctetString, SetOfVec};
use der::{Choice, Decode as _, Encode as _, Sequence};
use p256::ecdh::EphemeralSecret;
use rand_core::{OsRng, RngCore as _};
use rsa::Oaep;
use sha2::{Digest as _, Sha256};
use spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

use crate::operator::PrivateKey;
use crate::recipient::{PublicKey, point};
use crate::{Operator, Recipient, RecoveryError};

const LABEL: &str = "CMS";
const AUTH_ENVELOPED_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.23");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const AES256_GCM: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.46");
const AES256_WRAP: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.45");
/// dhSinglePass-stdDH-sha256kdf-scheme
const ECDH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.1.11.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSAES_OAEP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.7");
/// RSAES-OAEP-params: SHA-256, and MGF1 with SHA-256 (RFC 4055, section 4.1).
const OAEP_SHA256: &[u8] = &[
    0x30, 0x2f, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
    0x01, 0x05, 0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
    0x01, 0x08, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00,
];
const TAG_LENGTH: u8 = 16;
const NONCE_LENGTH: usize = 12;
/// `[1]`, constructed: a `KeyAgreeRecipientInfo` among the recipients.
const KEY_AGREEMENT: u8 = 0xa1;
const SEQUENCE: u8 = 0x30;

#[derive(Sequence)]
struct ContentInfo {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: AuthEnvelopedData,
}

#[derive(Sequence)]
struct AuthEnvelopedData {
    version: u8,
    recipient_infos: SetOfVec<Any>,
    content_info: EncryptedContentInfo,
    mac: OctetString,
}

#[derive(Sequence)]
struct EncryptedContentInfo {
    content_type: ObjectIdentifier,
    algorithm: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    content: OctetString,
}

#[derive(Sequence)]
struct GcmParameters {
    nonce: OctetString,
    /// 12 if it is not there (RFC 5084, section 3.2); it always is.
    tag_length: u8,
}

#[derive(Sequence)]
struct KeyAgreement {
    version: u8,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    originator: Originator,
    algorithm: AlgorithmIdentifierOwned,
    keys: Vec<AgreedKey>,
}

#[derive(Choice)]
enum Originator {
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Key(OriginatorPublicKey),
}

#[derive(Sequence)]
struct OriginatorPublicKey {
    algorithm: AlgorithmIdentifierOwned,
    key: BitString,
}

#[derive(Sequence)]
struct AgreedKey {
    recipient: AgreedRecipient,
    encrypted: OctetString,
}

#[derive(Choice)]
enum AgreedRecipient {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    Key(RecipientKeyIdentifier),
}

#[derive(Sequence)]
struct RecipientKeyIdentifier {
    identifier: OctetString,
}

#[derive(Sequence)]
struct KeyTransport {
    version: u8,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    recipient: OctetString,
    algorithm: AlgorithmIdentifierOwned,
    encrypted: OctetString,
}

/// ECC-CMS-SharedInfo (RFC 5753, section 7.2) without user keying material.
#[derive(Sequence)]
struct SharedInfo {
    key_info: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    length: OctetString,
}

/// One recipient.
enum Envelope {
    KeyAgreement(KeyAgreement),
    KeyTransport(KeyTransport),
}

/// Encrypts a content for a recipient; the message in PEM.
pub fn seal(content: &[u8], to: &Recipient) -> Result<String, RecoveryError> {
    let failed = |error: &dyn core::fmt::Display| RecoveryError::Wrap(error.to_string());
    let mut key = Zeroizing::new([0; 32]);
    let mut nonce = [0; NONCE_LENGTH];
    OsRng.fill_bytes(key.as_mut_slice());
    OsRng.fill_bytes(&mut nonce);
    let recipient = match &to.key {
        PublicKey::P256(public) => agree(&key, public, to.identifier())?,
        PublicKey::Rsa(public) => transport(&key, public, to.identifier())?,
    };
    let mut encrypted = content.to_vec();
    let tag = Aes256Gcm::new(key.as_slice().into())
        .encrypt_in_place_detached(Nonce::from_slice(&nonce), &[], &mut encrypted)
        .map_err(|error| failed(&error))?;
    let message = || -> Result<Vec<u8>, der::Error> {
        let parameters =
            GcmParameters { nonce: OctetString::new(nonce.as_slice())?, tag_length: TAG_LENGTH };
        ContentInfo {
            content_type: AUTH_ENVELOPED_DATA,
            content: AuthEnvelopedData {
                version: 0,
                recipient_infos: SetOfVec::try_from(vec![recipient])?,
                content_info: EncryptedContentInfo {
                    content_type: DATA,
                    algorithm: algorithm(AES256_GCM, Some(Any::encode_from(&parameters)?)),
                    content: OctetString::new(encrypted)?,
                },
                mac: OctetString::new(tag.as_slice())?,
            },
        }
        .to_der()
    };
    let message = message().map_err(|error| failed(&error))?;
    der::pem::encode_string(LABEL, der::pem::LineEnding::LF, &message)
        .map_err(|error| failed(&error))
}

/// Decrypts a message in PEM.
pub fn open(pem: &str, operator: &Operator) -> Result<Zeroizing<Vec<u8>>, RecoveryError> {
    let (envelope, data) = parse(pem)?;
    let this = operator.recipient().identifier();
    let wrapped_to = envelope.identifier()?;
    if wrapped_to != this {
        return Err(RecoveryError::OtherOperator {
            wrapped_to: hex::encode(wrapped_to),
            this: hex::encode(this),
        });
    }
    let key = match (&envelope, &operator.key) {
        (Envelope::KeyAgreement(agreement), PrivateKey::P256(key)) => agreed(agreement, key)?,
        (Envelope::KeyTransport(transport), PrivateKey::Rsa(key)) => transported(transport, key)?,
        _ => return Err(RecoveryError::DoesNotOpen),
    };
    decrypt(&data, &key)
}

/// The key identifier of the recipient of a message in PEM.
pub fn key_identifier(pem: &str) -> Result<Vec<u8>, RecoveryError> {
    parse(pem)?.0.identifier().map(<[u8]>::to_vec)
}

fn parse(pem: &str) -> Result<(Envelope, AuthEnvelopedData), RecoveryError> {
    let (label, der) = der::pem::decode_vec(pem.as_bytes()).map_err(RecoveryError::malformed)?;
    if label != LABEL {
        return Err(RecoveryError::Malformed(format!("the PEM block is of {label:?}")));
    }
    let info = ContentInfo::from_der(&der).map_err(RecoveryError::malformed)?;
    let data = info.content;
    let is_ours = info.content_type == AUTH_ENVELOPED_DATA
        && data.version == 0
        && data.content_info.content_type == DATA
        && data.content_info.algorithm.oid == AES256_GCM;
    if !is_ours {
        return Err(RecoveryError::malformed("not AuthEnvelopedData with AES-256-GCM"));
    }
    let [recipient] = data.recipient_infos.as_slice() else {
        return Err(RecoveryError::malformed("other than one recipient"));
    };
    let mut recipient = recipient.to_der().map_err(RecoveryError::malformed)?;
    let envelope = if recipient.first() == Some(&KEY_AGREEMENT) {
        recipient[0] = SEQUENCE;
        KeyAgreement::from_der(&recipient).map(Envelope::KeyAgreement)
    } else {
        KeyTransport::from_der(&recipient).map(Envelope::KeyTransport)
    };
    Ok((envelope.map_err(RecoveryError::malformed)?, data))
}

impl Envelope {
    fn identifier(&self) -> Result<&[u8], RecoveryError> {
        match self {
            Self::KeyTransport(transport) => Ok(transport.recipient.as_bytes()),
            Self::KeyAgreement(agreement) => {
                let AgreedRecipient::Key(key) = &agreement.one()?.recipient;
                Ok(key.identifier.as_bytes())
            }
        }
    }
}

impl KeyAgreement {
    fn one(&self) -> Result<&AgreedKey, RecoveryError> {
        match self.keys.as_slice() {
            [one] => Ok(one),
            _ => Err(RecoveryError::malformed("other than one encrypted key")),
        }
    }
}

fn algorithm(oid: ObjectIdentifier, parameters: Option<Any>) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters }
}

fn key_agreement() -> Result<AlgorithmIdentifierOwned, der::Error> {
    Ok(algorithm(ECDH_SHA256, Some(Any::encode_from(&algorithm(AES256_WRAP, None))?)))
}

fn key_transport() -> Result<AlgorithmIdentifierOwned, der::Error> {
    Ok(algorithm(RSAES_OAEP, Some(Any::from_der(OAEP_SHA256)?)))
}

/// The key that wraps: the X9.63 function of RFC 5753, section 7.1; one block of SHA-256 is enough.
fn derived_key(shared: &[u8]) -> Result<Zeroizing<[u8; 32]>, der::Error> {
    let info = SharedInfo {
        key_info: algorithm(AES256_WRAP, None),
        length: OctetString::new(256_u32.to_be_bytes())?,
    };
    let digest = Sha256::new()
        .chain_update(shared)
        .chain_update(1_u32.to_be_bytes())
        .chain_update(info.to_der()?);
    Ok(Zeroizing::new(digest.finalize().into()))
}

fn agree(key: &[u8; 32], to: &p256::PublicKey, identifier: &[u8]) -> Result<Any, RecoveryError> {
    let failed = |error: &dyn core::fmt::Display| RecoveryError::Wrap(error.to_string());
    let ephemeral = EphemeralSecret::random(&mut OsRng);
    let shared = ephemeral.diffie_hellman(to);
    let kek = derived_key(shared.raw_secret_bytes()).map_err(|error| failed(&error))?;
    let encrypted =
        KekAes256::from(*kek).wrap_vec(key.as_slice()).map_err(|error| failed(&error))?;
    let encode = || -> Result<Any, der::Error> {
        let identifier = RecipientKeyIdentifier { identifier: OctetString::new(identifier)? };
        let agreement = KeyAgreement {
            version: 3,
            originator: Originator::Key(OriginatorPublicKey {
                algorithm: algorithm(EC_PUBLIC_KEY, None),
                key: BitString::from_bytes(&point(&ephemeral.public_key()))?,
            }),
            algorithm: key_agreement()?,
            keys: vec![AgreedKey {
                recipient: AgreedRecipient::Key(identifier),
                encrypted: OctetString::new(encrypted)?,
            }],
        };
        let mut bytes = agreement.to_der()?;
        bytes[0] = KEY_AGREEMENT;
        Any::from_der(&bytes)
    };
    encode().map_err(|error| failed(&error))
}

fn agreed(
    agreement: &KeyAgreement,
    key: &p256::SecretKey,
) -> Result<Zeroizing<Vec<u8>>, RecoveryError> {
    let Originator::Key(originator) = &agreement.originator;
    let is_ours = agreement.version == 3
        && agreement.algorithm == key_agreement().map_err(RecoveryError::malformed)?
        && originator.algorithm == algorithm(EC_PUBLIC_KEY, None);
    if !is_ours {
        return Err(RecoveryError::malformed("not ECDH with SHA-256 and AES-256 key wrap"));
    }
    // Whole bytes only: bits that do not count would be bits that anyone could change.
    let public = originator.key.as_bytes();
    let public =
        public.ok_or_else(|| RecoveryError::malformed("the originator's key has unused bits"))?;
    let public = p256::PublicKey::from_sec1_bytes(public).map_err(RecoveryError::malformed)?;
    let shared = p256::ecdh::diffie_hellman(key.to_nonzero_scalar(), public.as_affine());
    let kek = derived_key(shared.raw_secret_bytes()).map_err(RecoveryError::malformed)?;
    KekAes256::from(*kek)
        .unwrap_vec(agreement.one()?.encrypted.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| RecoveryError::DoesNotOpen)
}

fn transport(
    key: &[u8; 32],
    to: &rsa::RsaPublicKey,
    identifier: &[u8],
) -> Result<Any, RecoveryError> {
    let failed = |error: &dyn core::fmt::Display| RecoveryError::Wrap(error.to_string());
    let encrypted = to
        .encrypt(&mut OsRng, Oaep::new::<Sha256>(), key.as_slice())
        .map_err(|error| failed(&error))?;
    let encode = || -> Result<Any, der::Error> {
        Any::encode_from(&KeyTransport {
            version: 2,
            recipient: OctetString::new(identifier)?,
            algorithm: key_transport()?,
            encrypted: OctetString::new(encrypted)?,
        })
    };
    encode().map_err(|error| failed(&error))
}

fn transported(
    transport: &KeyTransport,
    key: &rsa::RsaPrivateKey,
) -> Result<Zeroizing<Vec<u8>>, RecoveryError> {
    let expected = key_transport().map_err(RecoveryError::malformed)?;
    if transport.version != 2 || transport.algorithm != expected {
        return Err(RecoveryError::malformed("not RSA-OAEP with SHA-256"));
    }
    key.decrypt_blinded(&mut OsRng, Oaep::new::<Sha256>(), transport.encrypted.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| RecoveryError::DoesNotOpen)
}

fn decrypt(data: &AuthEnvelopedData, key: &[u8]) -> Result<Zeroizing<Vec<u8>>, RecoveryError> {
    let parameters = data.content_info.algorithm.parameters.as_ref();
    let parameters = parameters.ok_or_else(|| RecoveryError::malformed("no GCM parameters"))?;
    let parameters: GcmParameters = parameters.decode_as().map_err(RecoveryError::malformed)?;
    let (nonce, tag) = (parameters.nonce.as_bytes(), data.mac.as_bytes());
    let lengths = parameters.tag_length == TAG_LENGTH
        && nonce.len() == NONCE_LENGTH
        && tag.len() == usize::from(TAG_LENGTH)
        && key.len() == 32;
    if !lengths {
        return Err(RecoveryError::malformed("lengths of nonce, tag or key"));
    }
    let mut content = Zeroizing::new(data.content_info.content.as_bytes().to_vec());
    Aes256Gcm::new(key.into())
        .decrypt_in_place_detached(
            Nonce::from_slice(nonce),
            &[],
            &mut content,
            Tag::from_slice(tag),
        )
        .map_err(|_| RecoveryError::DoesNotOpen)?;
    Ok(content)
}
