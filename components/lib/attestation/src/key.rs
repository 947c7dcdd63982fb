//! Public keys and signatures of certificates, certificate requests and TPMs.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Encode};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::pkcs1::RsaPssParams;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use sha2::{Sha256, Sha384, Sha512};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::hash::HashAlgorithm;
use crate::oid;
use crate::tpm::{EccCurve, Parameters, Public, Signature};

const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const SHA384_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const SHA512_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_WITH_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const ID_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const ID_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const ID_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 4096;
/// Some vendors' EKs and CAs use exponents other than 65537; large ones only cost time.
const MAX_EXPONENT_BYTES: usize = 4;

/// A public key that can verify.
#[derive(Debug, Clone)]
pub(crate) enum VerifyingKey {
    Rsa(RsaPublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
}

/// How something was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureScheme {
    RsaPkcs1(HashAlgorithm),
    RsaPss { hash: HashAlgorithm, salt_length: usize },
    Ecdsa(HashAlgorithm),
}

/// Why a key or a signature was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The key is of a kind or size that is not accepted.
    #[error("the public key is not accepted: {0}")]
    Key(&'static str),
    /// The algorithm is not accepted.
    #[error("the signature algorithm is not accepted: {0}")]
    Algorithm(String),
    /// The signature is not by this key over these bytes.
    #[error("the signature does not match the key and the signed bytes")]
    Mismatch,
}

impl VerifyingKey {
    /// RSA of 2048 to 4096 bits, P-256 or P-384.
    pub(crate) fn from_spki_der(spki_der: &[u8]) -> Result<Self, SignatureError> {
        const MALFORMED: SignatureError = SignatureError::Key("not a valid SubjectPublicKeyInfo");
        let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| MALFORMED)?;
        let bits = spki.subject_public_key.as_bytes().ok_or(MALFORMED)?;
        if spki.algorithm.oid == oid::RSA_ENCRYPTION {
            let key = rsa::pkcs1::RsaPublicKey::from_der(bits).map_err(|_| MALFORMED)?;
            return Self::rsa(key.modulus.as_bytes(), key.public_exponent.as_bytes());
        }
        if spki.algorithm.oid != oid::EC_PUBLIC_KEY {
            return Err(SignatureError::Key("neither RSA nor elliptic curve"));
        }
        let curve = spki
            .algorithm
            .parameters
            .and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok())
            .ok_or(MALFORMED)?;
        Self::ec(curve, bits)
    }

    pub(crate) fn from_tpm(public: &Public) -> Result<Self, SignatureError> {
        if let Parameters::Ecc { curve: EccCurve::P521, .. } = public.parameters {
            return Err(SignatureError::Key("a curve other than P-256 and P-384"));
        }
        let spki = public
            .to_spki_der()
            .map_err(|_| SignatureError::Key("the TPM's public area holds no complete key"))?;
        Self::from_spki_der(&spki)
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, SignatureError> {
        let n = BigUint::from_bytes_be(modulus);
        let is_odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&n.bits()) || !is_odd {
            return Err(SignatureError::Key("an RSA modulus outside 2048 to 4096 bits, or even"));
        }
        if exponent.len() > MAX_EXPONENT_BYTES {
            return Err(SignatureError::Key("an RSA exponent over 32 bits"));
        }
        RsaPublicKey::new(n, BigUint::from_bytes_be(exponent))
            .map(Self::Rsa)
            .map_err(|_| SignatureError::Key("not a valid RSA key"))
    }

    fn ec(curve: ObjectIdentifier, point: &[u8]) -> Result<Self, SignatureError> {
        const NOT_ON_CURVE: SignatureError =
            SignatureError::Key("a point that is not on its curve");
        match curve {
            oid::SECP256R1 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map(Self::P256)
                .map_err(|_| NOT_ON_CURVE),
            oid::SECP384R1 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map(Self::P384)
                .map_err(|_| NOT_ON_CURVE),
            _ => Err(SignatureError::Key("a curve other than P-256 and P-384")),
        }
    }

    /// Checks a signature as X.509 and PKCS #10 encode it.
    pub(crate) fn verify(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let verified = match (self, scheme) {
            (Self::Rsa(key), SignatureScheme::RsaPkcs1(hash)) => {
                let padding = match hash {
                    HashAlgorithm::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
                    HashAlgorithm::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
                    HashAlgorithm::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
                };
                key.verify(padding, &hash.digest(&[message]), signature).is_ok()
            }
            (Self::Rsa(key), SignatureScheme::RsaPss { hash, salt_length }) => {
                let padding = match hash {
                    HashAlgorithm::Sha256 => Pss::new_with_salt::<Sha256>(salt_length),
                    HashAlgorithm::Sha384 => Pss::new_with_salt::<Sha384>(salt_length),
                    HashAlgorithm::Sha512 => Pss::new_with_salt::<Sha512>(salt_length),
                };
                key.verify(padding, &hash.digest(&[message]), signature).is_ok()
            }
            (Self::P256(key), SignatureScheme::Ecdsa(hash)) => {
                p256::ecdsa::Signature::from_der(signature).is_ok_and(|signature| {
                    key.verify_prehash(&hash.digest(&[message]), &signature).is_ok()
                })
            }
            (Self::P384(key), SignatureScheme::Ecdsa(hash)) => {
                p384::ecdsa::Signature::from_der(signature).is_ok_and(|signature| {
                    key.verify_prehash(&hash.digest(&[message]), &signature).is_ok()
                })
            }
            _ => return Err(SignatureError::Algorithm("of another kind than the key".to_owned())),
        };
        if verified { Ok(()) } else { Err(SignatureError::Mismatch) }
    }

    /// Checks a signature as a TPM encodes it.
    pub(crate) fn verify_tpm(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        match signature {
            Signature::RsaSsa { hash, signature } => {
                self.verify(SignatureScheme::RsaPkcs1(*hash), message, signature)
            }
            Signature::RsaPss { hash, signature } => {
                // TPMs of revision 1.16 and before use the longest salt that fits, later ones one
                // as long as the hash.
                let digest_length = hash.size();
                let longest = signature.len().saturating_sub(digest_length + 2);
                self.verify(
                    SignatureScheme::RsaPss { hash: *hash, salt_length: digest_length },
                    message,
                    signature,
                )
                .or_else(|error| match error {
                    SignatureError::Mismatch => self.verify(
                        SignatureScheme::RsaPss { hash: *hash, salt_length: longest },
                        message,
                        signature,
                    ),
                    other => Err(other),
                })
            }
            Signature::Ecdsa { hash, r, s } => {
                let number = |bytes: &[u8]| {
                    der::asn1::UintRef::new(bytes).ok().and_then(|number| number.to_der().ok())
                };
                let (Some(r), Some(s)) = (number(r), number(s)) else {
                    return Err(SignatureError::Mismatch);
                };
                let numbers = [r, s].concat();
                let signature = AnyRef::new(der::Tag::Sequence, &numbers)
                    .and_then(|sequence| sequence.to_der())
                    .map_err(|_| SignatureError::Mismatch)?;
                self.verify(SignatureScheme::Ecdsa(*hash), message, &signature)
            }
        }
    }
}

impl SignatureScheme {
    /// The scheme that a DER `AlgorithmIdentifier` names.
    pub(crate) fn from_der(algorithm_der: &[u8]) -> Result<Self, SignatureError> {
        let algorithm = AlgorithmIdentifierRef::from_der(algorithm_der)
            .map_err(|_| SignatureError::Algorithm("not a valid identifier".to_owned()))?;
        // RFC 4055, 5: NULL, and an absent one must be taken too; RFC 5758, 3.2: absent.
        let parameters = algorithm.parameters;
        let scheme = match algorithm.oid {
            SHA256_WITH_RSA => Self::RsaPkcs1(HashAlgorithm::Sha256),
            SHA384_WITH_RSA => Self::RsaPkcs1(HashAlgorithm::Sha384),
            SHA512_WITH_RSA => Self::RsaPkcs1(HashAlgorithm::Sha512),
            ECDSA_WITH_SHA256 => Self::Ecdsa(HashAlgorithm::Sha256),
            ECDSA_WITH_SHA384 => Self::Ecdsa(HashAlgorithm::Sha384),
            ECDSA_WITH_SHA512 => Self::Ecdsa(HashAlgorithm::Sha512),
            RSASSA_PSS => return Self::pss(parameters),
            other => return Err(SignatureError::Algorithm(other.to_string())),
        };
        let allowed = match scheme {
            Self::Ecdsa(_) => parameters.is_none(),
            _ => parameters.is_none_or(AnyRef::is_null),
        };
        if allowed {
            Ok(scheme)
        } else {
            Err(SignatureError::Algorithm(format!("{} with parameters", algorithm.oid)))
        }
    }

    /// PSS as every TLS library writes it: one hash throughout, salt as long as the hash.
    fn pss(parameters: Option<AnyRef<'_>>) -> Result<Self, SignatureError> {
        let unusual = || SignatureError::Algorithm("unusual parameters of RSASSA-PSS".to_owned());
        let parameters: RsaPssParams<'_> =
            parameters.and_then(|any| any.decode_as().ok()).ok_or_else(unusual)?;
        let hash = match parameters.hash.oid {
            ID_SHA256 => HashAlgorithm::Sha256,
            ID_SHA384 => HashAlgorithm::Sha384,
            ID_SHA512 => HashAlgorithm::Sha512,
            _ => return Err(unusual()),
        };
        let same_hash = parameters.mask_gen.oid == MGF1
            && parameters.mask_gen.parameters.is_some_and(|mgf| mgf.oid == parameters.hash.oid);
        let salt_length = usize::from(parameters.salt_len);
        if !same_hash || salt_length != hash.size() {
            return Err(unusual());
        }
        Ok(Self::RsaPss { hash, salt_length })
    }
}
