//! CAs of TPM makers that a tenant allows to vouch for its devices' TPMs.

use holdfast_attestation::ek::EkCertificate;
use holdfast_attestation::hash::sha256;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::registry::{Digest, Tenant};

/// A CA, root or intermediate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EkCa {
    /// Whose devices it may vouch for.
    pub tenant: Tenant,
    /// SHA-256 of the certificate.
    pub sha256: Digest,
    /// Its name, for people.
    pub subject: String,
    /// The certificate.
    #[serde(with = "hex")]
    pub der: Vec<u8>,
    /// When it was allowed.
    #[serde(with = "time::serde::rfc3339")]
    pub added_at: OffsetDateTime,
    /// By whom.
    pub added_by: String,
}

/// Why a CA is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EkCaError {
    /// No PEM, or damaged.
    #[error("certificate {position}: {detail}")]
    Pem {
        /// Counted from 1.
        position: usize,
        /// What is wrong.
        detail: String,
    },
    /// There is nothing in it.
    #[error("there is no certificate in it; expected PEM with BEGIN CERTIFICATE")]
    Empty,
    /// A certificate by which nothing could ever be proven.
    #[error("certificate {position} ({subject}): {detail}")]
    Unusable {
        /// Counted from 1.
        position: usize,
        /// Its name, as far as it can be read.
        subject: String,
        /// What is wrong.
        detail: &'static str,
    },
}

/// The CAs in a PEM bundle; all of them must be usable.
pub fn read_bundle(
    pem: &str,
    tenant: &Tenant,
    at: OffsetDateTime,
    by: &str,
) -> Result<Vec<EkCa>, EkCaError> {
    let mut cas = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
        let position = index + 1;
        let der = certificate
            .map_err(|e| EkCaError::Pem { position, detail: e.to_string() })?
            .as_ref()
            .to_vec();
        let subject = subject(&der);
        if let Err(detail) = check(&der) {
            return Err(EkCaError::Unusable { position, subject, detail });
        }
        cas.push(EkCa {
            tenant: tenant.clone(),
            sha256: Digest(sha256(&[&der])),
            subject,
            der,
            added_at: at,
            added_by: by.to_owned(),
        });
    }
    if cas.is_empty() { Err(EkCaError::Empty) } else { Ok(cas) }
}

fn check(der: &[u8]) -> Result<(), &'static str> {
    let certificate = EkCertificate::parse(der).map_err(|_| "it is no certificate")?;
    if !certificate.is_ca() {
        return Err("it is not the certificate of a CA");
    }
    if !certificate.is_strict() {
        return Err("it is malformed, so that nothing can be proven by it");
    }
    if certificate.has_unknown_critical_extension() {
        return Err("it has a critical extension that is not understood");
    }
    Ok(())
}

fn subject(der: &[u8]) -> String {
    let unreadable = || "unreadable name".to_owned();
    X509Certificate::from_der(der).map_or_else(
        |_| unreadable(),
        |(_, parsed)| {
            let text = parsed.subject().to_string();
            if text.is_empty() { unreadable() } else { text.chars().take(200).collect() }
        },
    )
}
