//! A CA certificate with what is asked of it again and again, and the short name of its key.

use std::fmt;
use std::str::FromStr;

use holdfast_attestation::hash::sha256;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Serial;

/// Bytes of the key identifier that name a CA: enough for the few that an installation ever has.
const ID_LENGTH: usize = 8;

/// The name of a CA's key: the start of its subject key identifier, hexadecimal. Certificates of
/// one key, such as a root and its cross certificate, share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaId(String);

impl CaId {
    fn of_key_identifier(identifier: &[u8]) -> Option<Self> {
        identifier.get(..ID_LENGTH).map(|start| Self(hex::encode(start)))
    }

    /// The CA that a certificate says it was signed by (RFC 5280, 4.2.1.1).
    pub fn of_issuer(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        authority_key_id(&certificate).and_then(|identifier| Self::of_key_identifier(&identifier))
    }

    /// Hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text does not name a CA.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" does not name a CA: expected 16 hexadecimal digits, as `ca show` prints them")]
pub struct CaIdError(String);

impl FromStr for CaId {
    type Err = CaIdError;
    fn from_str(text: &str) -> Result<Self, CaIdError> {
        match hex::decode(text) {
            Ok(bytes) if bytes.len() == ID_LENGTH => Ok(Self(hex::encode(bytes))),
            _ => Err(CaIdError(text.chars().take(60).collect())),
        }
    }
}

impl TryFrom<String> for CaId {
    type Error = CaIdError;
    fn try_from(text: String) -> Result<Self, CaIdError> {
        text.parse()
    }
}

impl From<CaId> for String {
    fn from(id: CaId) -> Self {
        id.0
    }
}

impl fmt::Display for CaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A CA certificate, parsed once. In files it is PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaCertificate {
    der: CertificateDer<'static>,
    serial: Serial,
    id: CaId,
    issuer_id: Option<CaId>,
    key_identifier: Vec<u8>,
    subject: Vec<u8>,
    common_name: String,
    public_key: Vec<u8>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
}

/// Bytes are not a CA certificate.
#[derive(Debug, thiserror::Error)]
#[error("not a usable CA certificate: {0}")]
pub struct CaCertificateError(String);

impl CaCertificate {
    /// Reads DER.
    pub fn from_der(der: &CertificateDer<'static>) -> Result<Self, CaCertificateError> {
        let unusable = |detail: &str| CaCertificateError(detail.to_owned());
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|e| CaCertificateError(e.to_string()))?;
        if !rest.is_empty() || !parsed.is_ca() {
            return Err(unusable("it is no CA's, or bytes follow it"));
        }
        let key_identifier = subject_key_id(&parsed)
            .ok_or_else(|| unusable("it has no subject key identifier (RFC 5280, 4.2.1.2)"))?;
        let id = CaId::of_key_identifier(&key_identifier)
            .ok_or_else(|| unusable("its subject key identifier is too short"))?;
        let issuer_id =
            authority_key_id(&parsed).and_then(|identifier| CaId::of_key_identifier(&identifier));
        let common_name = parsed
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .ok_or_else(|| unusable("its subject has no common name"))?
            .to_owned();
        Ok(Self {
            serial: Serial::from_bytes(parsed.raw_serial()),
            id,
            issuer_id,
            key_identifier,
            subject: parsed.subject().as_raw().to_vec(),
            common_name,
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
            der: der.clone(),
        })
    }

    /// Reads the first certificate of PEM text.
    pub fn from_pem(text: &[u8]) -> Result<Self, CaCertificateError> {
        let (_, block) = x509_parser::pem::parse_x509_pem(text)
            .map_err(|e| CaCertificateError(e.to_string()))?;
        if block.label != "CERTIFICATE" {
            return Err(CaCertificateError(format!("it is a PEM {}", block.label)));
        }
        Self::from_der(&CertificateDer::from(block.contents))
    }

    /// DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// PEM.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// Its serial number.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The name of its key.
    pub fn id(&self) -> &CaId {
        &self.id
    }

    /// The name of the key that signed it.
    pub fn issuer_id(&self) -> Option<&CaId> {
        self.issuer_id.as_ref()
    }

    /// Its subject key identifier.
    pub fn key_identifier(&self) -> &[u8] {
        &self.key_identifier
    }

    /// Its subject, a DER `Name`.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The common name in its subject.
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// The content of its `subjectPublicKey`.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Start of validity.
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// End of validity.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// SHA-256 of the certificate, hexadecimal.
    pub fn sha256(&self) -> String {
        hex::encode(sha256(&[&self.der]))
    }
}

impl TryFrom<String> for CaCertificate {
    type Error = CaCertificateError;
    fn try_from(text: String) -> Result<Self, CaCertificateError> {
        Self::from_pem(text.as_bytes())
    }
}

impl From<CaCertificate> for String {
    fn from(certificate: CaCertificate) -> Self {
        certificate.pem()
    }
}

/// PEM text of a DER structure, RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for start in (0..body.len()).step_by(64) {
        text.push_str(&body[start..(start + 64).min(body.len())]);
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn subject_key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
        _ => None,
    })
}

fn authority_key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(identifier) => {
            identifier.key_identifier.as_ref().map(|identifier| identifier.0.to_vec())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_sixteen_hexadecimal_digits() {
        assert_eq!("00AB00AB00AB00AB".parse::<CaId>().unwrap().as_str(), "00ab00ab00ab00ab");
        for bad in ["", "ab", "xx00000000000000", "../../root.key", "00ab00ab00ab00ab00"] {
            assert!(bad.parse::<CaId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_ca_certificate_is_refused() {
        for bad in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(CaCertificate::from_pem(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
