//! Certificate requests (PKCS #10, RFC 2986).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

use crate::evidence::{Evidence, EvidenceError};
use crate::hash::sha256;
use crate::key::{SignatureError, SignatureScheme, VerifyingKey};
use crate::oid;

/// The longest request that is read; one with evidence has about 3 KiB.
pub const MAX_LENGTH: usize = 32 * 1024;

/// A certificate request, its signature not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    info: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    attestation: Option<Vec<u8>>,
    signature_algorithm: Vec<u8>,
    signature: Vec<u8>,
}

/// Why bytes are no certificate request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Over [`MAX_LENGTH`].
    #[error("the certificate request has {0} bytes, over the limit of {MAX_LENGTH}")]
    TooLong(usize),
    /// Not DER, or not of this shape.
    #[error("the certificate request is not valid DER: {0}")]
    Der(#[from] der::Error),
    /// Another version than v1.
    #[error("the certificate request has version {0}, expected 0")]
    Version(u8),
    /// The attestation attribute is there twice, or with other than one value.
    #[error("the certificate request has other than one attestation")]
    Attestations,
}

impl CertificateRequest {
    /// Parses the DER of a request.
    pub fn parse(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > MAX_LENGTH {
            return Err(CsrError::TooLong(der.len()));
        }
        let mut request = sequence(AnyRef::from_der(der)?)?;
        let info = request.tlv_bytes()?;
        let signature_algorithm = request.tlv_bytes()?;
        let signature = BitStringRef::decode(&mut request)?;
        let signature = signature.as_bytes().ok_or(Tag::BitString.value_error())?;
        request.finish(())?;

        let mut fields = sequence(AnyRef::from_der(info)?)?;
        let version = u8::decode(&mut fields)?;
        if version != 0 {
            return Err(CsrError::Version(version));
        }
        let subject = tagged(&mut fields, Tag::Sequence)?;
        let spki = tagged(&mut fields, Tag::Sequence)?;
        // RFC 2986 asks for the field even when it is empty; some programs leave it out.
        let attestation = if fields.is_finished() { None } else { attestation(&mut fields)? };
        fields.finish(())?;
        Ok(Self {
            info: info.to_vec(),
            subject: subject.to_vec(),
            spki: spki.to_vec(),
            attestation: attestation.map(<[u8]>::to_vec),
            signature_algorithm: signature_algorithm.to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// DER of the subject's name: a wish, the server has its own profile.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The `SubjectPublicKeyInfo` as it stands in the request.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of [`Self::spki`].
    pub fn spki_sha256(&self) -> [u8; 32] {
        sha256(&[&self.spki])
    }

    /// The evidence, if the request has the attestation attribute.
    pub fn evidence(&self) -> Option<Result<Evidence, EvidenceError>> {
        self.attestation.as_deref().map(Evidence::from_attribute_value_der)
    }

    /// Checks that the request is signed with its own key: RSA PKCS #1 or PSS, or ECDSA.
    pub fn verify_signature(&self) -> Result<(), SignatureError> {
        let scheme = SignatureScheme::from_der(&self.signature_algorithm)?;
        VerifyingKey::from_spki_der(&self.spki)?.verify(scheme, &self.info, &self.signature)
    }
}

/// The request in a body of EST: base64 with or without line ends (RFC 8951, 3.1).
pub fn decode_body(body: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok().filter(|der| !der.is_empty())
}

/// Reads inside a SEQUENCE.
fn sequence(any: AnyRef<'_>) -> Result<SliceReader<'_>, der::Error> {
    any.tag().assert_eq(Tag::Sequence)?;
    SliceReader::new(any.value())
}

/// The next element with its tag and length.
fn tagged<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Result<&'a [u8], der::Error> {
    reader.peek_tag()?.assert_eq(tag)?;
    reader.tlv_bytes()
}

/// The value of the attestation attribute among `[0] IMPLICIT SET OF Attribute`.
fn attestation<'a>(fields: &mut SliceReader<'a>) -> Result<Option<&'a [u8]>, CsrError> {
    let set = AnyRef::decode(fields)?;
    set.tag().assert_eq(Tag::ContextSpecific { constructed: true, number: TagNumber::N0 })?;
    let mut attributes = SliceReader::new(set.value())?;
    let mut found = None;
    while !attributes.is_finished() {
        let mut attribute = sequence(AnyRef::decode(&mut attributes)?)?;
        // Raw, because libraries do not parse arcs as long as ours.
        let kind = AnyRef::decode(&mut attribute)?;
        kind.tag().assert_eq(Tag::ObjectIdentifier)?;
        let values = AnyRef::decode(&mut attribute)?;
        values.tag().assert_eq(Tag::Set)?;
        attribute.finish(())?;
        if kind.value() != oid::ID_AA_ATTESTATION.as_bytes() {
            continue;
        }
        let mut values = SliceReader::new(values.value())?;
        let value = values.tlv_bytes()?;
        if !values.is_finished() || found.replace(value).is_some() {
            return Err(CsrError::Attestations);
        }
    }
    Ok(found)
}
