//! `TPMT_SIGNATURE` (Part 2, 11.3.4).

use super::buffer::{Bounded, DecodeError, Reader, Writer};
use super::public::{COORDINATE, RSA_BYTES, alg, hash};
use crate::hash::HashAlgorithm;

/// A signature that a TPM made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Signature {
    /// RSASSA-PKCS1-v1_5
    RsaSsa {
        /// Hash of the signed message.
        hash: HashAlgorithm,
        /// The signature, as long as the modulus.
        signature: Bounded<RSA_BYTES>,
    },
    /// RSASSA-PSS
    RsaPss {
        /// Hash of the signed message.
        hash: HashAlgorithm,
        /// The signature, as long as the modulus.
        signature: Bounded<RSA_BYTES>,
    },
    /// ECDSA
    Ecdsa {
        /// Hash of the signed message.
        hash: HashAlgorithm,
        /// The number r, big-endian; some TPMs leave leading zeros out.
        r: Bounded<COORDINATE>,
        /// The number s, likewise.
        s: Bounded<COORDINATE>,
    },
}

impl Signature {
    /// Parses a `TPMT_SIGNATURE`.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let algorithm = reader.u16("sigAlg")?;
        let signature = match algorithm {
            alg::RSASSA => Self::RsaSsa {
                hash: hash(&mut reader, "signature hash")?,
                signature: reader.sized("RSASSA signature")?,
            },
            alg::RSAPSS => Self::RsaPss {
                hash: hash(&mut reader, "signature hash")?,
                signature: reader.sized("RSAPSS signature")?,
            },
            alg::ECDSA => Self::Ecdsa {
                hash: hash(&mut reader, "signature hash")?,
                r: reader.sized("signatureR")?,
                s: reader.sized("signatureS")?,
            },
            other => {
                return Err(DecodeError::Unsupported { field: "sigAlg", value: other.into() });
            }
        };
        reader.finish("TPMT_SIGNATURE")?;
        Ok(signature)
    }

    /// Marshals a `TPMT_SIGNATURE`.
    pub fn marshal(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::RsaSsa { hash, signature } => {
                writer.u16(alg::RSASSA).u16(hash.id()).sized(signature);
            }
            Self::RsaPss { hash, signature } => {
                writer.u16(alg::RSAPSS).u16(hash.id()).sized(signature);
            }
            Self::Ecdsa { hash, r, s } => {
                writer.u16(alg::ECDSA).u16(hash.id()).sized(r).sized(s);
            }
        }
        writer.finish()
    }

    /// Hash of the signed message.
    pub const fn hash(&self) -> HashAlgorithm {
        match self {
            Self::RsaSsa { hash, .. } | Self::RsaPss { hash, .. } | Self::Ecdsa { hash, .. } => {
                *hash
            }
        }
    }
}
