//! The certs-only message in which EST returns certificates (RFC 7030, 4.2.3; RFC 8551, 3.8): a
//! CMS `SignedData` without content and signatures.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::ID_SIGNED_DATA;
use der::asn1::AnyRef;
use der::{Decode as _, Reader, SliceReader, Tag, TagNumber, Tagged as _};
use x509_cert::Certificate;

/// Why bytes are no certs-only message.
#[derive(Debug, thiserror::Error)]
pub enum CertsOnlyError {
    /// Not base64.
    #[error("the answer is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Not DER of the right shape.
    #[error("the answer is not a certs-only message: {0}")]
    Der(#[from] der::Error),
    /// Another kind of CMS message.
    #[error("the answer is a CMS message of type {0}, expected signed data")]
    Kind(ObjectIdentifier),
    /// No certificates in it.
    #[error("the answer holds no certificates")]
    Empty,
}

/// Reads the certificates, in the order in which they stand in the message, from base64 text with
/// or without line breaks.
pub fn parse(body: &[u8]) -> Result<Vec<Certificate>, CertsOnlyError> {
    use base64::Engine as _;
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    parse_der(&base64::prelude::BASE64_STANDARD.decode(text)?)
}

fn parse_der(message: &[u8]) -> Result<Vec<Certificate>, CertsOnlyError> {
    let mut content_info = contents(AnyRef::from_der(message)?, Tag::Sequence)?;
    let kind = ObjectIdentifier::decode(&mut content_info)?;
    if kind != ID_SIGNED_DATA {
        return Err(CertsOnlyError::Kind(kind));
    }
    let mut content = contents(AnyRef::decode(&mut content_info)?, context(0))?;
    let mut signed_data = contents(AnyRef::decode(&mut content)?, Tag::Sequence)?;
    // Version, digest algorithms and the absent content are of no interest; the certificates are
    // the first context-specific element, `[0] IMPLICIT`.
    while !signed_data.is_finished() {
        let element = AnyRef::decode(&mut signed_data)?;
        if element.tag() == context(0) {
            let mut set = SliceReader::new(element.value())?;
            let mut certificates = Vec::new();
            while !set.is_finished() {
                certificates.push(Certificate::decode(&mut set)?);
            }
            if !certificates.is_empty() {
                return Ok(certificates);
            }
        }
    }
    Err(CertsOnlyError::Empty)
}

const fn context(number: u8) -> Tag {
    let number = if number == 0 { TagNumber::N0 } else { TagNumber::N1 };
    Tag::ContextSpecific { constructed: true, number }
}

fn contents(element: AnyRef<'_>, tag: Tag) -> Result<SliceReader<'_>, der::Error> {
    element.tag().assert_eq(tag)?;
    SliceReader::new(element.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by `openssl crl2pkcs7 -nocrl [-certfile leaf.pem -certfile issuer.pem]`.
    const MESSAGE: &str = include_str!("../tests/data/certs-only.b64");
    const EMPTY: &str = include_str!("../tests/data/certs-only-without-certificates.b64");

    #[test]
    fn certificates_are_found_with_and_without_line_breaks() {
        let one_line: String = MESSAGE.split_whitespace().collect();
        for text in [MESSAGE, &one_line] {
            let names: Vec<String> = parse(text.as_bytes())
                .unwrap()
                .iter()
                .map(|certificate| certificate.tbs_certificate.subject.to_string())
                .collect();
            assert_eq!(names, ["CN=leaf", "CN=issuer"]);
        }
    }

    #[test]
    fn what_is_no_certs_only_message_is_refused() {
        assert!(matches!(parse(EMPTY.as_bytes()), Err(CertsOnlyError::Empty)));
        assert!(matches!(parse(b"%"), Err(CertsOnlyError::Base64(_))));
        assert!(matches!(parse(b""), Err(CertsOnlyError::Der(_))));
        let whole: String = MESSAGE.split_whitespace().collect();
        for length in (0..whole.len()).step_by(4) {
            assert!(parse(&whole.as_bytes()[..length]).is_err(), "cut after {length}");
        }
        // ContentInfo of type id-data.
        let data = b"MA8GCSqGSIb3DQEHAaACBAA=";
        assert!(matches!(parse(data), Err(CertsOnlyError::Kind(_))));
    }
}
