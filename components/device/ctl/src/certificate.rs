//! What a person wants to know of the device's certificate.

use const_oid::{
    ObjectIdentifier,
    db::{
        rfc5280::ID_CE_CERTIFICATE_POLICIES,
        rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION},
    },
};
use der::{Decode, DecodePem, Encode, Sequence, asn1::UintRef};
use holdfast_attestation::oid::{POLICY_ATTESTED, POLICY_NOT_ATTESTED};
use serde::Serialize;
use x509_cert::Certificate;

/// Facts of the first certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CertificateFacts {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// Lower-case hexadecimal.
    pub(crate) serial: String,
    /// Unix seconds.
    pub(crate) not_before: u64,
    /// Unix seconds.
    pub(crate) not_after: u64,
    /// As in `RSA-2048`.
    pub(crate) key: String,
    /// Whether the issuer states that key and boot were proven by the TPM; `None` if it states
    /// nothing.
    pub(crate) attested: Option<bool>,
}

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl CertificateFacts {
    /// Reads the first certificate of a PEM chain.
    pub(crate) fn of_chain(pem: &str) -> Result<Self, String> {
        const END: &str = "-----END CERTIFICATE-----";
        let end = pem.find(END).ok_or("the certificate chain is empty")?;
        // `Certificate::load_pem_chain` (x509-cert 0.2.5) panics on text without a certificate.
        let certificate = Certificate::from_pem(&pem[..end + END.len()])
            .map_err(|error| format!("the certificate cannot be read: {error}"))?;
        let tbs = &certificate.tbs_certificate;
        Ok(Self {
            subject: tbs.subject.to_string(),
            issuer: tbs.issuer.to_string(),
            serial: hex::encode(tbs.serial_number.as_bytes()),
            not_before: tbs.validity.not_before.to_unix_duration().as_secs(),
            not_after: tbs.validity.not_after.to_unix_duration().as_secs(),
            key: key(&certificate),
            attested: attested(&certificate),
        })
    }
}

fn key(certificate: &Certificate) -> String {
    const SECP256R1: ObjectIdentifier = const_oid::db::rfc5912::SECP_256_R_1;
    let info = &certificate.tbs_certificate.subject_public_key_info;
    let key = info.subject_public_key.raw_bytes();
    if info.algorithm.oid == RSA_ENCRYPTION
        && let Ok(rsa) = RsaPublicKey::from_der(key)
    {
        let modulus = rsa.modulus.as_bytes();
        let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        return format!("RSA-{}", modulus.len() * 8 - unused);
    }
    let curve = info.algorithm.parameters.as_ref().and_then(|any| any.to_der().ok());
    if info.algorithm.oid == ID_EC_PUBLIC_KEY && curve == SECP256R1.to_der().ok() {
        return "ECDSA P-256".to_owned();
    }
    info.algorithm.oid.to_string()
}

/// Looks for our policies in the extension as bytes: their arc is longer than most parsers take.
fn attested(certificate: &Certificate) -> Option<bool> {
    let extensions = certificate.tbs_certificate.extensions.as_ref()?;
    let policies = extensions.iter().find(|e| e.extn_id == ID_CE_CERTIFICATE_POLICIES)?;
    let states = |oid: &[u8]| policies.extn_value.as_bytes().windows(oid.len()).any(|w| w == oid);
    if states(&POLICY_ATTESTED.to_der()) {
        Some(true)
    } else if states(&POLICY_NOT_ATTESTED.to_der()) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by tests/data/make-certificates.sh with OpenSSL.
    const ATTESTED: &str = include_str!("../tests/data/rsa-attested.pem");
    const NOT_ATTESTED: &str = include_str!("../tests/data/ec-not-attested.pem");
    const PLAIN: &str = include_str!("../tests/data/rsa-without-policy.pem");

    #[test]
    fn facts_of_a_certificate_that_openssl_made() {
        let facts = CertificateFacts::of_chain(ATTESTED).unwrap();
        assert_eq!(
            facts,
            CertificateFacts {
                subject: "O=demo,CN=device-7".into(),
                issuer: "O=demo,CN=device-7".into(),
                serial: "0a0b0c".into(),
                not_before: 1_763_800_000,
                not_after: 1_771_576_000,
                key: "RSA-2048".into(),
                attested: Some(true),
            }
        );
    }

    #[test]
    fn keys_and_policies() {
        let table = [
            (ATTESTED, "RSA-2048", Some(true)),
            (NOT_ATTESTED, "ECDSA P-256", Some(false)),
            (PLAIN, "RSA-2048", None),
        ];
        for (pem, key, attested) in table {
            let facts = CertificateFacts::of_chain(pem).unwrap();
            assert_eq!((facts.key.as_str(), facts.attested), (key, attested));
        }
    }

    #[test]
    fn what_is_no_chain_is_said_to_be_none() {
        for pem in ["", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(CertificateFacts::of_chain(pem).is_err(), "{pem:?}");
        }
    }
}
