//! The attribute of a certificate request that carries the TPM's evidence.
//!
//! `AttestationBundle` of draft-ietf-lamps-csr-attestation with two statements:
//! `tcg-attest-tpm-certify` for the key and Holdfast's own for the quote. The draft may still
//! change; its codec is this file and nothing else.

use const_oid::AssociatedOid;
use der::asn1::{AnyRef, OctetStringRef};
use der::{Decode, Encode, Sequence, Tag, Tagged};

use crate::oid::{self, QUOTE_STATEMENT, TCG_ATTEST_TPM_CERTIFY};
use crate::pcr::PcrValue;

/// Longest encoding that is parsed; real evidence has about 1.5 KiB.
pub const MAX_LENGTH: usize = 16 * 1024;
/// PCRs of one bank.
const MAX_PCRS: usize = 24;

/// What a TPM says about a key and a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// About the key.
    pub certify: CertifyStatement,
    /// About the boot.
    pub quote: QuoteStatement,
}

/// Result of `TPM2_Certify`, each part as the TPM marshals it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifyStatement {
    /// `TPMS_ATTEST`
    pub attest: Vec<u8>,
    /// `TPMT_SIGNATURE`
    pub signature: Vec<u8>,
    /// `TPMT_PUBLIC` of the certified key.
    pub public: Vec<u8>,
}

/// Result of `TPM2_Quote` with the values behind its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteStatement {
    /// `TPMS_ATTEST`
    pub attest: Vec<u8>,
    /// `TPMT_SIGNATURE`
    pub signature: Vec<u8>,
    /// The values, ascending by index.
    pub pcr_values: Vec<PcrValue>,
}

/// Why bytes are no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Over [`MAX_LENGTH`].
    #[error("the evidence has {0} bytes, over the limit of {MAX_LENGTH}")]
    TooLong(usize),
    /// Not DER, or not of this shape.
    #[error("the evidence is not valid DER: {0}")]
    Der(#[from] der::Error),
    /// A statement is missing.
    #[error("the evidence has no {0} statement")]
    Missing(&'static str),
    /// A statement is there more than once.
    #[error("the evidence has more than one {0} statement")]
    Repeated(&'static str),
    /// The PCR values are not ascending or too many, or a digest is not of SHA-256.
    #[error("the PCR values of the quote are not a list of ascending SHA-256 values")]
    PcrValues,
}

#[derive(Sequence)]
struct Bundle<'a> {
    attestations: Vec<Statement<'a>>,
    certs: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct Statement<'a> {
    /// An OBJECT IDENTIFIER, kept raw because of [`oid::HoldfastOid`].
    kind: AnyRef<'a>,
    statement: AnyRef<'a>,
}

#[derive(Sequence)]
struct Certify<'a> {
    attest: OctetStringRef<'a>,
    signature: OctetStringRef<'a>,
    public: OctetStringRef<'a>,
}

#[derive(Sequence)]
struct Quote<'a> {
    attest: OctetStringRef<'a>,
    signature: OctetStringRef<'a>,
    pcr_values: Vec<Pcr<'a>>,
}

#[derive(Sequence)]
struct Pcr<'a> {
    index: u8,
    digest: OctetStringRef<'a>,
}

impl AssociatedOid for Evidence {
    const OID: const_oid::ObjectIdentifier = oid::ID_AA_ATTESTATION;
}

impl Evidence {
    /// The DER of the one value of attribute [`oid::ID_AA_ATTESTATION`].
    pub fn to_attribute_value_der(&self) -> Result<Vec<u8>, EvidenceError> {
        let certify = Certify {
            attest: OctetStringRef::new(&self.certify.attest)?,
            signature: OctetStringRef::new(&self.certify.signature)?,
            public: OctetStringRef::new(&self.certify.public)?,
        }
        .to_der()?;
        let pcr_values = self.quote.pcr_values.iter().map(|value| {
            Ok(Pcr { index: value.index, digest: OctetStringRef::new(&value.digest)? })
        });
        let quote = Quote {
            attest: OctetStringRef::new(&self.quote.attest)?,
            signature: OctetStringRef::new(&self.quote.signature)?,
            pcr_values: pcr_values.collect::<Result<_, der::Error>>()?,
        }
        .to_der()?;
        let attestations = vec![
            Statement {
                kind: AnyRef::from(&TCG_ATTEST_TPM_CERTIFY),
                statement: AnyRef::from_der(&certify)?,
            },
            Statement {
                kind: AnyRef::new(Tag::ObjectIdentifier, QUOTE_STATEMENT.contents())?,
                statement: AnyRef::from_der(&quote)?,
            },
        ];
        Ok(Bundle { attestations, certs: None }.to_der()?)
    }

    /// Parses the DER of the attribute's value. Statements of other kinds are passed over.
    pub fn from_attribute_value_der(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > MAX_LENGTH {
            return Err(EvidenceError::TooLong(bytes.len()));
        }
        let bundle = Bundle::from_der(bytes)?;
        let (mut certify, mut quote) = (None, None);
        for Statement { kind, statement } in &bundle.attestations {
            kind.tag().assert_eq(Tag::ObjectIdentifier)?;
            if kind.value() == TCG_ATTEST_TPM_CERTIFY.as_bytes() {
                set_once(
                    &mut certify,
                    statement.decode_as::<Certify<'_>>()?.try_into()?,
                    "certify",
                )?;
            } else if kind.value() == QUOTE_STATEMENT.contents() {
                set_once(&mut quote, statement.decode_as::<Quote<'_>>()?.try_into()?, "quote")?;
            }
        }
        Ok(Self {
            certify: certify.ok_or(EvidenceError::Missing("certify"))?,
            quote: quote.ok_or(EvidenceError::Missing("quote"))?,
        })
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T, kind: &'static str) -> Result<(), EvidenceError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(EvidenceError::Repeated(kind)),
    }
}

impl TryFrom<Certify<'_>> for CertifyStatement {
    type Error = EvidenceError;

    fn try_from(certify: Certify<'_>) -> Result<Self, EvidenceError> {
        Ok(Self {
            attest: certify.attest.as_bytes().to_vec(),
            signature: certify.signature.as_bytes().to_vec(),
            public: certify.public.as_bytes().to_vec(),
        })
    }
}

impl TryFrom<Quote<'_>> for QuoteStatement {
    type Error = EvidenceError;

    fn try_from(quote: Quote<'_>) -> Result<Self, EvidenceError> {
        let ascending = quote.pcr_values.windows(2).all(|pair| pair[0].index < pair[1].index);
        if !ascending || quote.pcr_values.len() > MAX_PCRS {
            return Err(EvidenceError::PcrValues);
        }
        let pcr_values = quote.pcr_values.iter().map(|pcr| {
            let digest = pcr.digest.as_bytes().try_into().map_err(|_| EvidenceError::PcrValues)?;
            Ok(PcrValue { index: pcr.index, digest })
        });
        Ok(Self {
            attest: quote.attest.as_bytes().to_vec(),
            signature: quote.signature.as_bytes().to_vec(),
            pcr_values: pcr_values.collect::<Result<_, EvidenceError>>()?,
        })
    }
}
