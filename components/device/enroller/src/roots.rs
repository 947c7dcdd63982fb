//! Roots that took over from the site's anchors.
//!
//! A root of the site that is rolled over signs its successor: the certificate "new with old" of
//! RFC 4210, section 4.4. That signature, and nothing else, makes the successor an anchor here. It
//! is stored with the roots and verified each time it is loaded, so that what lies on the state
//! volume grants nothing by itself.

use const_oid::db::rfc5280::{ID_CE_BASIC_CONSTRAINTS, ID_CE_KEY_USAGE};
use der::{Decode as _, Encode as _};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use webpki::EndEntityCert;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use crate::certificate;

/// Successions that are kept. A root lives for years; more than this is a mistake.
pub const LIMIT: usize = 16;

/// Why a certificate does not make a root the successor of another.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SuccessionError {
    /// Not an X.509 certificate.
    #[error("{0} is no certificate: {1}")]
    Form(&'static str, String),
    /// A certificate that is not a CA's.
    #[error("{0} is not a CA's")]
    NotCa(&'static str),
    /// The cross certificate is about somebody else.
    #[error("the cross certificate is not of the new root's name and key")]
    OtherSubject,
    /// The cross certificate names another issuer.
    #[error("the cross certificate is not issued by the old root")]
    OtherIssuer,
    /// A signature that does not verify.
    #[error("the signature of {0} is not good")]
    Signature(&'static str),
}

/// One root taking over from another; all DER.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Succession {
    /// The root that was trusted before.
    #[serde(with = "base64_der")]
    old: Vec<u8>,
    /// The root that takes over.
    #[serde(with = "base64_der")]
    new: Vec<u8>,
    /// The new root's name and key, signed by the old root.
    #[serde(with = "base64_der")]
    cross: Vec<u8>,
}

impl Succession {
    /// The root that takes over.
    pub fn new_root(&self) -> &[u8] {
        &self.new
    }

    /// The root that vouched for it.
    pub fn old_root(&self) -> &[u8] {
        &self.old
    }

    /// Whether the old root's signature makes the new root its successor. Times are not looked at:
    /// a succession stays one when the old root has come to its end.
    pub fn verify(&self, algorithms: &WebPkiSupportedAlgorithms) -> Result<(), SuccessionError> {
        let parse = |name, der: &[u8]| {
            Certificate::from_der(der)
                .map_err(|error| SuccessionError::Form(name, error.to_string()))
        };
        let old = parse("the old root", &self.old)?;
        let new = parse("the new root", &self.new)?;
        let cross = parse("the cross certificate", &self.cross)?;
        for (name, certificate) in [("new root", &new), ("cross certificate", &cross)] {
            if !is_ca(certificate) {
                return Err(SuccessionError::NotCa(name));
            }
        }
        let (new_body, cross_body) = (&new.tbs_certificate, &cross.tbs_certificate);
        if cross_body.subject != new_body.subject
            || cross_body.subject_public_key_info != new_body.subject_public_key_info
        {
            return Err(SuccessionError::OtherSubject);
        }
        if cross_body.issuer != old.tbs_certificate.subject {
            return Err(SuccessionError::OtherIssuer);
        }
        if !is_signed_by(&cross, &self.old, algorithms) {
            return Err(SuccessionError::Signature("the cross certificate"));
        }
        if new_body.issuer != new_body.subject || !is_signed_by(&new, &self.new, algorithms) {
            return Err(SuccessionError::Signature("the new root"));
        }
        Ok(())
    }
}

/// The anchors, and all roots to which good successions lead from them; DER, anchors first.
pub fn reachable(
    anchors: impl IntoIterator<Item = Vec<u8>>,
    successions: &[Succession],
    algorithms: &WebPkiSupportedAlgorithms,
) -> Vec<Vec<u8>> {
    let mut trusted: Vec<Vec<u8>> = anchors.into_iter().collect();
    let mut left: Vec<&Succession> =
        successions.iter().filter(|s| s.verify(algorithms).is_ok()).collect();
    loop {
        let before = left.len();
        left.retain(|succession| {
            if !trusted.contains(&succession.old) {
                return true;
            }
            if !trusted.contains(&succession.new) {
                trusted.push(succession.new.clone());
            }
            false
        });
        if left.len() == before {
            return trusted;
        }
    }
}

/// The successions from trusted roots to others that a server offers at this time (seconds since
/// 1970), nearest first.
pub fn find(
    trusted: &[Vec<u8>],
    offered: &[Certificate],
    now: u64,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Vec<Succession> {
    let offered: Vec<Vec<u8>> = offered
        .iter()
        .filter(|certificate| is_ca(certificate))
        .filter_map(|certificate| certificate.to_der().ok())
        .filter(|der| {
            certificate::validity(&CertificateDer::from(der.as_slice()))
                .is_ok_and(|validity| now <= validity.not_after)
        })
        .collect();
    let mut trusted = trusted.to_vec();
    let mut found: Vec<Succession> = Vec::new();
    let mut at = 0;
    while let Some(old) = trusted.get(at).cloned() {
        at += 1;
        for new in &offered {
            if trusted.contains(new) || found.len() >= LIMIT {
                continue;
            }
            let successions = offered.iter().map(|cross| Succession {
                old: old.clone(),
                new: new.clone(),
                cross: cross.clone(),
            });
            if let Some(good) = successions.into_iter().find(|s| s.verify(algorithms).is_ok()) {
                trusted.push(new.clone());
                found.push(good);
            }
        }
    }
    found
}

/// RFC 5280, sections 4.2.1.3 and 4.2.1.9.
fn is_ca(certificate: &Certificate) -> bool {
    let extensions = certificate.tbs_certificate.extensions.as_deref().unwrap_or_default();
    let value = |id| {
        extensions.iter().find(|extension| extension.extn_id == id).map(|e| e.extn_value.as_bytes())
    };
    let is_ca = value(ID_CE_BASIC_CONSTRAINTS)
        .is_some_and(|value| BasicConstraints::from_der(value).is_ok_and(|basic| basic.ca));
    let may_sign = value(ID_CE_KEY_USAGE)
        .is_none_or(|value| KeyUsage::from_der(value).is_ok_and(|usage| usage.key_cert_sign()));
    is_ca && may_sign
}

fn is_signed_by(
    certificate: &Certificate,
    issuer: &[u8],
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let issuer = CertificateDer::from(issuer);
    let (Ok(issuer), Ok(message), Some(signature)) = (
        EndEntityCert::try_from(&issuer),
        certificate.tbs_certificate.to_der(),
        certificate.signature.as_bytes(),
    ) else {
        return false;
    };
    let Ok(named) = certificate.signature_algorithm.to_der() else {
        return false;
    };
    // What the certificate names, without the sequence's own header.
    algorithms
        .all
        .iter()
        .filter(|algorithm| named.get(2..) == Some(algorithm.signature_alg_id().as_ref()))
        .any(|algorithm| issuer.verify_signature(*algorithm, &message, signature).is_ok())
}

mod base64_der {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(der: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(der))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        BASE64_STANDARD.decode(text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
