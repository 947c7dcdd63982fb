//! `TPMT_PUBLIC` (Part 2, 12.2.4): the public area of a TPM object.

use der::asn1::{BitStringRef, ObjectIdentifier, UintRef};
use der::{AnyRef, Encode, Sequence};
use spki::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::attributes::ObjectAttributes;
use super::buffer::{Bounded, DecodeError, Reader, Writer};
use super::name::Name;
use crate::hash::HashAlgorithm;
use crate::oid;

/// Bytes of the longest RSA modulus accepted (4096 bits).
pub(super) const RSA_BYTES: usize = 512;
/// Bytes of the longest elliptic curve coordinate accepted (P-521).
pub(super) const COORDINATE: usize = 66;
/// Exponent that the TPM writes as zero.
const DEFAULT_EXPONENT: u32 = 65537;

/// `TPM_ALG_ID` values (TCG Algorithm Registry).
pub(super) mod alg {
    pub const RSA: u16 = 0x0001;
    pub const HMAC: u16 = 0x0005;
    pub const AES: u16 = 0x0006;
    pub const MGF1: u16 = 0x0007;
    pub const KEYEDHASH: u16 = 0x0008;
    pub const NULL: u16 = 0x0010;
    pub const RSASSA: u16 = 0x0014;
    pub const RSAES: u16 = 0x0015;
    pub const RSAPSS: u16 = 0x0016;
    pub const OAEP: u16 = 0x0017;
    pub const ECDSA: u16 = 0x0018;
    pub const ECDH: u16 = 0x0019;
    pub const KDF1_SP800_56A: u16 = 0x0020;
    pub const KDF2: u16 = 0x0021;
    pub const KDF1_SP800_108: u16 = 0x0022;
    pub const ECC: u16 = 0x0023;
    pub const CTR: u16 = 0x0040;
    pub const OFB: u16 = 0x0041;
    pub const CBC: u16 = 0x0042;
    pub const CFB: u16 = 0x0043;
    pub const ECB: u16 = 0x0044;
}

/// Reads a hash algorithm.
pub(super) fn hash(
    reader: &mut Reader<'_>,
    field: &'static str,
) -> Result<HashAlgorithm, DecodeError> {
    let id = reader.u16(field)?;
    HashAlgorithm::from_id(id).ok_or(DecodeError::Unsupported { field, value: id.into() })
}

/// The public area of a TPM object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Public {
    /// The hash of its Name.
    pub name_algorithm: HashAlgorithm,
    /// What the TPM lets happen to it.
    pub attributes: ObjectAttributes,
    /// Digest of the policy that authorizes its use; empty for none.
    pub auth_policy: Bounded<64>,
    /// Kind, parameters and public key.
    pub parameters: Parameters,
}

/// Kind, parameters and public key of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Parameters {
    /// An RSA key.
    Rsa {
        /// The cipher that protects its children (storage keys only).
        symmetric: Symmetric,
        /// The scheme that the key is bound to.
        scheme: RsaScheme,
        /// Length of the modulus: 1024, 2048, 3072 or 4096.
        key_bits: u16,
        /// Public exponent as marshalled: zero means 65537.
        exponent: u32,
        /// The modulus, big-endian.
        modulus: Bounded<RSA_BYTES>,
    },
    /// An elliptic curve key.
    Ecc {
        /// The cipher that protects its children (storage keys only).
        symmetric: Symmetric,
        /// The scheme that the key is bound to.
        scheme: EccScheme,
        /// The curve.
        curve: EccCurve,
        /// Key derivation; no TPM uses it, it is [`KdfScheme::Null`] in practice.
        kdf: KdfScheme,
        /// Coordinate x, big-endian; some TPMs leave leading zeros out.
        x: Bounded<COORDINATE>,
        /// Coordinate y, likewise.
        y: Bounded<COORDINATE>,
    },
    /// An HMAC key or sealed data.
    KeyedHash {
        /// What the object does.
        scheme: KeyedHashScheme,
        /// Hash that binds the secret part.
        unique: Bounded<64>,
    },
}

/// `TPMT_SYM_DEF_OBJECT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Symmetric {
    /// None.
    Null,
    /// AES.
    Aes {
        /// Length of the key: 128, 192 or 256.
        key_bits: u16,
        /// Mode of operation.
        mode: SymmetricMode,
    },
}

/// `TPMI_ALG_SYM_MODE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SymmetricMode {
    /// Counter.
    Ctr,
    /// Output feedback.
    Ofb,
    /// Cipher block chaining.
    Cbc,
    /// Cipher feedback, the mode of storage keys.
    Cfb,
    /// Electronic codebook.
    Ecb,
    /// The caller chooses.
    Null,
}

/// `TPMT_RSA_SCHEME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RsaScheme {
    /// The caller chooses.
    Null,
    /// RSASSA-PKCS1-v1_5
    RsaSsa(HashAlgorithm),
    /// RSASSA-PSS
    RsaPss(HashAlgorithm),
    /// RSAES-PKCS1-v1_5
    RsaEs,
    /// RSAES-OAEP
    Oaep(HashAlgorithm),
}

/// `TPMT_ECC_SCHEME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EccScheme {
    /// The caller chooses.
    Null,
    /// ECDSA
    Ecdsa(HashAlgorithm),
    /// Diffie-Hellman
    Ecdh(HashAlgorithm),
}

/// `TPMI_ECC_CURVE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EccCurve {
    /// NIST P-256
    P256,
    /// NIST P-384
    P384,
    /// NIST P-521
    P521,
}

/// `TPMT_KDF_SCHEME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KdfScheme {
    /// None.
    Null,
    /// MGF1 of PKCS #1.
    Mgf1(HashAlgorithm),
    /// Concatenation function of SP 800-56A.
    Kdf1Sp80056a(HashAlgorithm),
    /// KDF2 of IEEE 1363a.
    Kdf2(HashAlgorithm),
    /// Counter mode of SP 800-108.
    Kdf1Sp800108(HashAlgorithm),
}

/// `TPMT_KEYEDHASH_SCHEME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyedHashScheme {
    /// Sealed data, or the caller chooses.
    Null,
    /// HMAC
    Hmac(HashAlgorithm),
}

/// Why a public area has no `SubjectPublicKeyInfo`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpkiError {
    /// The object has no asymmetric key.
    #[error("the TPM object is not an RSA or elliptic curve key")]
    NotAsymmetric,
    /// The modulus is not as long as the parameters say, as in a template.
    #[error("the RSA modulus has {found} bytes instead of {expected}")]
    ModulusLength {
        /// Bytes found.
        found: usize,
        /// Bytes that `key_bits` asks for.
        expected: usize,
    },
    /// A coordinate is longer than the curve's field, or absent as in a template.
    #[error("a coordinate of the elliptic curve point has {found} bytes; the curve has {expected}")]
    CoordinateLength {
        /// Bytes found.
        found: usize,
        /// Bytes of the curve's field.
        expected: usize,
    },
    /// DER could not be written.
    #[error("the key cannot be written as DER: {0}")]
    Der(#[from] der::Error),
}

impl EccCurve {
    /// `TPM_ECC_CURVE`.
    const fn id(self) -> u16 {
        match self {
            Self::P256 => 0x0003,
            Self::P384 => 0x0004,
            Self::P521 => 0x0005,
        }
    }

    fn from_id(id: u16) -> Option<Self> {
        [Self::P256, Self::P384, Self::P521].into_iter().find(|curve| curve.id() == id)
    }

    /// Bytes of a coordinate.
    pub const fn coordinate_size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::P256 => oid::SECP256R1,
            Self::P384 => oid::SECP384R1,
            Self::P521 => oid::SECP521R1,
        }
    }
}

/// `RSAPublicKey` (RFC 8017, A.1.1).
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

impl Public {
    /// Parses a `TPMT_PUBLIC`, the contents of a `TPM2B_PUBLIC`.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u16("type")?;
        let name_algorithm = hash(&mut reader, "nameAlg")?;
        let attributes = ObjectAttributes::from_bits(reader.u32("objectAttributes")?)?;
        let auth_policy: Bounded<64> = reader.sized("authPolicy")?;
        if !auth_policy.is_empty() && auth_policy.len() != name_algorithm.size() {
            return Err(DecodeError::WrongLength {
                field: "authPolicy",
                length: auth_policy.len(),
                expected: name_algorithm.size(),
            });
        }
        let parameters = match kind {
            alg::RSA => Parameters::read_rsa(&mut reader)?,
            alg::ECC => Parameters::read_ecc(&mut reader)?,
            alg::KEYEDHASH => Parameters::KeyedHash {
                scheme: KeyedHashScheme::read(&mut reader)?,
                unique: reader.sized("unique")?,
            },
            other => return Err(DecodeError::Unsupported { field: "type", value: other.into() }),
        };
        reader.finish("TPMT_PUBLIC")?;
        Ok(Self { name_algorithm, attributes, auth_policy, parameters })
    }

    /// Marshals a `TPMT_PUBLIC`.
    pub fn marshal(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .u16(match self.parameters {
                Parameters::Rsa { .. } => alg::RSA,
                Parameters::Ecc { .. } => alg::ECC,
                Parameters::KeyedHash { .. } => alg::KEYEDHASH,
            })
            .u16(self.name_algorithm.id())
            .u32(self.attributes.bits())
            .sized(&self.auth_policy);
        match &self.parameters {
            Parameters::Rsa { symmetric, scheme, key_bits, exponent, modulus } => {
                symmetric.write(&mut writer);
                scheme.write(&mut writer);
                writer.u16(*key_bits).u32(*exponent).sized(modulus);
            }
            Parameters::Ecc { symmetric, scheme, curve, kdf, x, y } => {
                symmetric.write(&mut writer);
                scheme.write(&mut writer);
                writer.u16(curve.id());
                kdf.write(&mut writer);
                writer.sized(x).sized(y);
            }
            Parameters::KeyedHash { scheme, unique } => {
                scheme.write(&mut writer);
                writer.sized(unique);
            }
        }
        writer.finish()
    }

    /// The object's Name: name algorithm and hash of the public area.
    pub fn name(&self) -> Name {
        Name::of_public_area(self.name_algorithm, &self.marshal())
    }

    /// The public key as a DER `SubjectPublicKeyInfo`, in the form of RFC 3279 and RFC 5480.
    pub fn to_spki_der(&self) -> Result<Vec<u8>, SpkiError> {
        match &self.parameters {
            Parameters::Rsa { key_bits, exponent, modulus, .. } => {
                let expected = usize::from(*key_bits) / 8;
                if modulus.len() != expected {
                    return Err(SpkiError::ModulusLength { found: modulus.len(), expected });
                }
                let exponent = if *exponent == 0 { DEFAULT_EXPONENT } else { *exponent };
                let key = RsaPublicKey {
                    modulus: UintRef::new(modulus)?,
                    public_exponent: UintRef::new(&exponent.to_be_bytes())?,
                }
                .to_der()?;
                spki(oid::RSA_ENCRYPTION, AnyRef::NULL, &key)
            }
            Parameters::Ecc { curve, x, y, .. } => {
                let mut point = vec![4];
                for coordinate in [x, y] {
                    let (found, expected) = (coordinate.len(), curve.coordinate_size());
                    if found == 0 || found > expected {
                        return Err(SpkiError::CoordinateLength { found, expected });
                    }
                    point.resize(point.len() + expected - found, 0);
                    point.extend_from_slice(coordinate);
                }
                let curve = curve.oid();
                spki(oid::EC_PUBLIC_KEY, AnyRef::from(&curve), &point)
            }
            Parameters::KeyedHash { .. } => Err(SpkiError::NotAsymmetric),
        }
    }
}

fn spki(oid: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> Result<Vec<u8>, SpkiError> {
    let algorithm = AlgorithmIdentifier { oid, parameters: Some(parameters) };
    let subject_public_key = BitStringRef::from_bytes(key)?;
    Ok(SubjectPublicKeyInfo { algorithm, subject_public_key }.to_der()?)
}

impl Parameters {
    fn read_rsa(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let symmetric = Symmetric::read(reader)?;
        let scheme = RsaScheme::read(reader)?;
        let key_bits = reader.u16("keyBits")?;
        if ![1024, 2048, 3072, 4096].contains(&key_bits) {
            return Err(DecodeError::Unsupported { field: "keyBits", value: key_bits.into() });
        }
        let exponent = reader.u32("exponent")?;
        let modulus: Bounded<RSA_BYTES> = reader.sized("modulus")?;
        let limit = usize::from(key_bits) / 8;
        if modulus.len() > limit {
            return Err(DecodeError::TooLong { field: "modulus", length: modulus.len(), limit });
        }
        Ok(Self::Rsa { symmetric, scheme, key_bits, exponent, modulus })
    }

    fn read_ecc(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let symmetric = Symmetric::read(reader)?;
        let scheme = EccScheme::read(reader)?;
        let id = reader.u16("curveID")?;
        let curve = EccCurve::from_id(id)
            .ok_or(DecodeError::Unsupported { field: "curveID", value: id.into() })?;
        let kdf = KdfScheme::read(reader)?;
        let x: Bounded<COORDINATE> = reader.sized("x")?;
        let y: Bounded<COORDINATE> = reader.sized("y")?;
        let limit = curve.coordinate_size();
        let length = x.len().max(y.len());
        if length > limit {
            return Err(DecodeError::TooLong { field: "coordinate", length, limit });
        }
        Ok(Self::Ecc { symmetric, scheme, curve, kdf, x, y })
    }
}

impl Symmetric {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u16("symmetric algorithm")? {
            alg::NULL => Ok(Self::Null),
            alg::AES => {
                let key_bits = reader.u16("symmetric keyBits")?;
                if ![128, 192, 256].contains(&key_bits) {
                    return Err(DecodeError::Unsupported {
                        field: "symmetric keyBits",
                        value: key_bits.into(),
                    });
                }
                let mode = match reader.u16("symmetric mode")? {
                    alg::CTR => SymmetricMode::Ctr,
                    alg::OFB => SymmetricMode::Ofb,
                    alg::CBC => SymmetricMode::Cbc,
                    alg::CFB => SymmetricMode::Cfb,
                    alg::ECB => SymmetricMode::Ecb,
                    alg::NULL => SymmetricMode::Null,
                    other => {
                        return Err(DecodeError::Unsupported {
                            field: "symmetric mode",
                            value: other.into(),
                        });
                    }
                };
                Ok(Self::Aes { key_bits, mode })
            }
            other => {
                Err(DecodeError::Unsupported { field: "symmetric algorithm", value: other.into() })
            }
        }
    }

    fn write(self, writer: &mut Writer) {
        match self {
            Self::Null => writer.u16(alg::NULL),
            Self::Aes { key_bits, mode } => writer.u16(alg::AES).u16(key_bits).u16(match mode {
                SymmetricMode::Ctr => alg::CTR,
                SymmetricMode::Ofb => alg::OFB,
                SymmetricMode::Cbc => alg::CBC,
                SymmetricMode::Cfb => alg::CFB,
                SymmetricMode::Ecb => alg::ECB,
                SymmetricMode::Null => alg::NULL,
            }),
        };
    }
}

impl RsaScheme {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const HASH: &str = "RSA scheme hash";
        match reader.u16("RSA scheme")? {
            alg::NULL => Ok(Self::Null),
            alg::RSAES => Ok(Self::RsaEs),
            alg::RSASSA => hash(reader, HASH).map(Self::RsaSsa),
            alg::RSAPSS => hash(reader, HASH).map(Self::RsaPss),
            alg::OAEP => hash(reader, HASH).map(Self::Oaep),
            other => Err(DecodeError::Unsupported { field: "RSA scheme", value: other.into() }),
        }
    }

    fn write(self, writer: &mut Writer) {
        match self {
            Self::Null => writer.u16(alg::NULL),
            Self::RsaEs => writer.u16(alg::RSAES),
            Self::RsaSsa(hash) => writer.u16(alg::RSASSA).u16(hash.id()),
            Self::RsaPss(hash) => writer.u16(alg::RSAPSS).u16(hash.id()),
            Self::Oaep(hash) => writer.u16(alg::OAEP).u16(hash.id()),
        };
    }
}

impl EccScheme {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const HASH: &str = "ECC scheme hash";
        match reader.u16("ECC scheme")? {
            alg::NULL => Ok(Self::Null),
            alg::ECDSA => hash(reader, HASH).map(Self::Ecdsa),
            alg::ECDH => hash(reader, HASH).map(Self::Ecdh),
            other => Err(DecodeError::Unsupported { field: "ECC scheme", value: other.into() }),
        }
    }

    fn write(self, writer: &mut Writer) {
        match self {
            Self::Null => writer.u16(alg::NULL),
            Self::Ecdsa(hash) => writer.u16(alg::ECDSA).u16(hash.id()),
            Self::Ecdh(hash) => writer.u16(alg::ECDH).u16(hash.id()),
        };
    }
}

impl KdfScheme {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const HASH: &str = "KDF hash";
        match reader.u16("KDF scheme")? {
            alg::NULL => Ok(Self::Null),
            alg::MGF1 => hash(reader, HASH).map(Self::Mgf1),
            alg::KDF1_SP800_56A => hash(reader, HASH).map(Self::Kdf1Sp80056a),
            alg::KDF2 => hash(reader, HASH).map(Self::Kdf2),
            alg::KDF1_SP800_108 => hash(reader, HASH).map(Self::Kdf1Sp800108),
            other => Err(DecodeError::Unsupported { field: "KDF scheme", value: other.into() }),
        }
    }

    fn write(self, writer: &mut Writer) {
        match self {
            Self::Null => writer.u16(alg::NULL),
            Self::Mgf1(hash) => writer.u16(alg::MGF1).u16(hash.id()),
            Self::Kdf1Sp80056a(hash) => writer.u16(alg::KDF1_SP800_56A).u16(hash.id()),
            Self::Kdf2(hash) => writer.u16(alg::KDF2).u16(hash.id()),
            Self::Kdf1Sp800108(hash) => writer.u16(alg::KDF1_SP800_108).u16(hash.id()),
        };
    }
}

impl KeyedHashScheme {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u16("keyed hash scheme")? {
            alg::NULL => Ok(Self::Null),
            alg::HMAC => hash(reader, "HMAC hash").map(Self::Hmac),
            other => {
                Err(DecodeError::Unsupported { field: "keyed hash scheme", value: other.into() })
            }
        }
    }

    fn write(self, writer: &mut Writer) {
        match self {
            Self::Null => writer.u16(alg::NULL),
            Self::Hmac(hash) => writer.u16(alg::HMAC).u16(hash.id()),
        };
    }
}
