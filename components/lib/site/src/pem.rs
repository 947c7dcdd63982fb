//! Certificates and keys in the configuration.

use core::str::FromStr;

use der::asn1::ObjectIdentifier;
use der::{Decode, pem};
use spki::SubjectPublicKeyInfoRef;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// A CA certificate that the device trusts; nothing else is, the web's CAs included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    pem: String,
    der: Vec<u8>,
}

impl Anchor {
    /// The PEM text as it stands in the configuration.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl FromStr for Anchor {
    type Err = String;

    /// Takes one PEM certificate that may sign certificates. Its dates are not looked at: this
    /// happens before the clock is right.
    fn from_str(text: &str) -> Result<Self, String> {
        let der = decode(text, "CERTIFICATE")?;
        let certificate = Certificate::from_der(&der)
            .map_err(|error| format!("the certificate is not valid DER: {error}"))?;
        let tbs = &certificate.tbs_certificate;
        let (_, constraints) = tbs
            .get::<BasicConstraints>()
            .map_err(|error| format!("the certificate's basic constraints are not valid: {error}"))?
            .ok_or("the certificate is not of a CA: it has no basic constraints")?;
        if !constraints.ca {
            return Err("the certificate is not of a CA: its basic constraints say so".to_owned());
        }
        let usage = tbs
            .get::<KeyUsage>()
            .map_err(|error| format!("the certificate's key usage is not valid: {error}"))?;
        if usage.is_some_and(|(_, usage)| !usage.key_cert_sign()) {
            return Err("the certificate's key may not sign certificates".to_owned());
        }
        Ok(Self { pem: text.to_owned(), der })
    }
}

/// The operator's public key to which a device wraps the recovery key of its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryKey {
    pem: String,
    der: Vec<u8>,
}

impl RecoveryKey {
    /// The PEM text as it stands in the configuration.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The `SubjectPublicKeyInfo`.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl FromStr for RecoveryKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let der = decode(text, "PUBLIC KEY")?;
        let spki = SubjectPublicKeyInfoRef::from_der(&der)
            .map_err(|error| format!("the public key is not valid DER: {error}"))?;
        if ![RSA_ENCRYPTION, EC_PUBLIC_KEY].contains(&spki.algorithm.oid) {
            return Err("the public key is neither RSA nor on an elliptic curve".to_owned());
        }
        Ok(Self { pem: text.to_owned(), der })
    }
}

/// The contents of a text that is exactly one PEM block (RFC 7468).
fn decode(text: &str, expected: &str) -> Result<Vec<u8>, String> {
    // The decoder passes over text before the block; here nothing may stand around it.
    if !text.starts_with("-----BEGIN ") {
        return Err(format!("expected a PEM text that starts with -----BEGIN {expected}-----"));
    }
    let (label, der) = pem::decode_vec(text.as_bytes())
        .map_err(|error| format!("not a single well-formed PEM block: {error}"))?;
    if label == expected {
        Ok(der)
    } else {
        Err(format!("the PEM block is of {label:?}, expected {expected:?}"))
    }
}
