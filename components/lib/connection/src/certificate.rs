//! The device's certificate chain: the few facts that the device itself needs from it.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::{COMMON_NAME, SERIAL_NUMBER};
use const_oid::db::rfc5280::ID_CE_EXT_KEY_USAGE;
use der::{Decode as _, Encode};
use holdfast_attestation::oid::HoldfastOid;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject as _};
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::EncodePem as _;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::pem::LineEnding;

use crate::clock::Validity;

/// A certificate chain that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not PEM.
    #[error("certificate chain is not valid PEM: {0}")]
    Pem(pem::Error),
    /// Not certificates.
    #[error("certificate is not valid DER: {0}")]
    Syntax(#[from] der::Error),
    /// No certificate in it.
    #[error("certificate chain is empty")]
    Empty,
    /// None of the certificates is for the key.
    #[error("none of the certificates is for this device's key")]
    OtherKey,
    /// The subject has no common name to take the device id from.
    #[error("certificate has no common name that could be the device id")]
    NoDeviceId,
}

/// A device certificate, followed by the certificates of its issuers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    certificates: Vec<Certificate>,
    device_id: String,
}

impl Chain {
    /// Takes certificates in order, the device's first.
    pub fn new(certificates: Vec<Certificate>) -> Result<Self, CertificateError> {
        let leaf = certificates.first().ok_or(CertificateError::Empty)?;
        let device_id = subject_attribute(leaf, COMMON_NAME).ok_or(CertificateError::NoDeviceId)?;
        Ok(Self { certificates, device_id })
    }

    /// Picks the certificate for a key (DER of its `SubjectPublicKeyInfo`) and puts its issuers
    /// behind it, in order. Self-signed certificates are left out: the device has its own anchors.
    pub fn assemble(
        mut certificates: Vec<Certificate>,
        spki: &[u8],
    ) -> Result<Self, CertificateError> {
        let mut place = None;
        for (index, certificate) in certificates.iter().enumerate() {
            if certificate.tbs_certificate.subject_public_key_info.to_der()? == spki {
                place = Some(index);
            }
        }
        let mut chain = vec![certificates.swap_remove(place.ok_or(CertificateError::OtherKey)?)];
        while let Some(last) = chain.last() {
            let issuer = &last.tbs_certificate.issuer;
            let next = certificates.iter().position(|certificate| {
                let tbs = &certificate.tbs_certificate;
                tbs.subject == *issuer && tbs.subject != tbs.issuer
            });
            match next {
                Some(index) => {
                    let certificate = certificates.swap_remove(index);
                    chain.push(certificate);
                }
                None => break,
            }
        }
        Self::new(chain)
    }

    /// Reads one or more PEM certificates, the device's first.
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(|der| Ok(Certificate::from_der(&der.map_err(CertificateError::Pem)?)?))
            .collect::<Result<_, CertificateError>>()?;
        Self::new(certificates)
    }

    /// The chain as PEM, the device's certificate first.
    pub fn to_pem(&self) -> Result<String, CertificateError> {
        let mut pem = String::new();
        for certificate in &self.certificates {
            pem.push_str(&certificate.to_pem(LineEnding::LF)?);
        }
        Ok(pem)
    }

    /// The chain as DER, the device's certificate first.
    pub fn to_der(&self) -> Result<Vec<Vec<u8>>, CertificateError> {
        Ok(self.certificates.iter().map(Encode::to_der).collect::<Result<_, _>>()?)
    }

    /// The device id: the common name that the server gave it.
    pub fn device_id(&self) -> &str {
        &self.device_id
    }

    /// The Edge ID under which the server knows the device.
    pub fn edge_id(&self) -> Option<String> {
        subject_attribute(self.leaf(), SERIAL_NUMBER)
    }

    /// DER of the public key that the certificate is for.
    pub fn spki(&self) -> Result<Vec<u8>, CertificateError> {
        Ok(self.leaf().tbs_certificate.subject_public_key_info.to_der()?)
    }

    /// The serial number in hexadecimal.
    pub fn serial(&self) -> String {
        hex::encode(self.leaf().tbs_certificate.serial_number.as_bytes())
    }

    /// SHA-256 of the certificate's DER.
    pub fn thumbprint(&self) -> Result<[u8; 32], CertificateError> {
        Ok(Sha256::digest(self.leaf().to_der()?).into())
    }

    /// Start of validity in seconds since 1970.
    pub fn not_before(&self) -> u64 {
        self.leaf().tbs_certificate.validity.not_before.to_unix_duration().as_secs()
    }

    /// End of validity in seconds since 1970.
    pub fn not_after(&self) -> u64 {
        self.leaf().tbs_certificate.validity.not_after.to_unix_duration().as_secs()
    }

    /// When a new certificate should be fetched: two thirds of its life, spread by a tenth of it
    /// either way with the thumbprint, so that a fleet that enrolled together does not renew
    /// together.
    pub fn renewal(&self) -> Result<u64, CertificateError> {
        let life = self.not_after().saturating_sub(self.not_before());
        let [first, second, ..] = self.thumbprint()?;
        let spread = u64::from(u16::from_be_bytes([first, second]));
        let tenth = life / 10;
        let offset = tenth.saturating_mul(2).saturating_mul(spread) / u64::from(u16::MAX);
        Ok(self.not_before() + (life / 3) * 2 - tenth + offset)
    }

    fn leaf(&self) -> &Certificate {
        // `new` refuses an empty chain.
        &self.certificates[0]
    }
}

fn subject_attribute(certificate: &Certificate, oid: ObjectIdentifier) -> Option<String> {
    let value = certificate
        .tbs_certificate
        .subject
        .0
        .iter()
        .flat_map(|name| name.0.iter())
        .find(|attribute| attribute.oid == oid)
        .map(|attribute| &attribute.value)?;
    let text = value
        .decode_as::<Utf8StringRef<'_>>()
        .map(|text| text.as_str().to_owned())
        .or_else(|_| {
            value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str().to_owned())
        })
        .ok()?;
    (!text.is_empty()).then_some(text)
}

/// A DER certificate as PEM (RFC 7468).
pub fn pem(der: &[u8]) -> String {
    // Base64 of bytes in memory cannot fail; nothing would be trusted by an empty text.
    der::pem::encode_string("CERTIFICATE", LineEnding::LF, der).unwrap_or_default()
}

/// Whether a DER certificate's extended key usage is this one purpose (RFC 5280, 4.2.1.12).
pub fn is_for(certificate: &[u8], purpose: &HoldfastOid) -> Result<bool, der::Error> {
    let certificate = Certificate::from_der(certificate)?;
    let extensions = certificate.tbs_certificate.extensions.unwrap_or_default();
    let usage = extensions.iter().find(|extension| extension.extn_id == ID_CE_EXT_KEY_USAGE);
    // Compared as DER: the arc is longer than what libraries take for an OID.
    let expected = purpose.to_extended_key_usage_der();
    Ok(usage.is_some_and(|usage| usage.extn_value.as_bytes() == expected))
}

/// When a DER certificate is valid.
pub fn validity(certificate: &[u8]) -> Result<Validity, der::Error> {
    let validity = Certificate::from_der(certificate)?.tbs_certificate.validity;
    Ok(Validity {
        not_before: validity.not_before.to_unix_duration().as_secs(),
        not_after: validity.not_after.to_unix_duration().as_secs(),
    })
}

#[cfg(any(test, feature = "samples"))]
pub mod samples;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_round_trip_keeps_order_and_content() {
        let chain = samples::chain("device-1", b"key one");
        let pem = chain.to_pem().unwrap();
        assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2);
        assert_eq!(Chain::from_pem(&pem).unwrap(), chain);
        assert_eq!(chain.device_id(), "device-1");
        assert_eq!(chain.edge_id().as_deref(), Some(samples::EDGE_ID));
        assert_eq!(chain.spki().unwrap(), samples::spki(b"key one"));
    }

    #[test]
    fn chains_are_assembled_from_any_order() {
        let leaf = samples::issued("device-1", b"key one", "issuing");
        let issuing = samples::issued("issuing", b"issuing key", "root");
        let root = samples::issued("root", b"root key", "root");
        let other = samples::issued("other", b"other key", "elsewhere");
        let spki = samples::spki(b"key one");
        let mixed = vec![root, other.clone(), issuing.clone(), leaf.clone()];
        let chain = Chain::assemble(mixed, &spki).unwrap();
        assert_eq!(chain, Chain::new(vec![leaf, issuing]).unwrap());
        let error = Chain::assemble(vec![other], &spki).unwrap_err();
        assert!(matches!(error, CertificateError::OtherKey));
    }

    #[test]
    fn renewal_lies_around_two_thirds_of_the_life() {
        for key in 0u8..32 {
            let chain = samples::chain("device-1", &[key]);
            let life = chain.not_after() - chain.not_before();
            let renewal = chain.renewal().unwrap() - chain.not_before();
            assert!(renewal >= life * 56 / 100 && renewal <= life * 77 / 100, "{renewal} {life}");
        }
    }

    #[test]
    fn chains_without_certificate_or_name_are_refused() {
        assert!(matches!(Chain::from_pem(""), Err(CertificateError::Empty)));
        let cut = "-----BEGIN CERTIFICATE-----\nMIIB\n";
        assert!(matches!(Chain::from_pem(cut), Err(CertificateError::Pem(_))));
        assert!(matches!(Chain::new(Vec::new()), Err(CertificateError::Empty)));
        let nameless = samples::certificate("", b"key");
        assert!(matches!(Chain::new(vec![nameless]), Err(CertificateError::NoDeviceId)));
    }
}
