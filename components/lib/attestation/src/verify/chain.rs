//! From an EK certificate to a CA that is allowed.

use crate::ek::EkCertificate;
use crate::key::{SignatureScheme, VerifyingKey};

/// Most certificates between an EK and its root; vendors have one or two.
const MAX_INTERMEDIATES: usize = 4;

/// Follows the issuers of `leaf` through `intermediates` to one of `anchors`, which it returns.
///
/// Anchors are trusted as they stand, also after their end; everything between must be valid now,
/// well-formed, and a CA.
pub(super) fn find_anchor<'a>(
    leaf: &EkCertificate,
    intermediates: &[EkCertificate],
    anchors: &'a [EkCertificate],
    now: u64,
) -> Result<&'a EkCertificate, String> {
    if !leaf.is_ek() {
        return Err("the certificate is not one of an EK".to_owned());
    }
    let mut current = leaf;
    for depth in 0..=MAX_INTERMEDIATES {
        check_usable(current, now)?;
        if let Some(anchor) = anchors
            .iter()
            .find(|anchor| anchor.allows_path_length(depth) && issued(anchor, current))
        {
            return Ok(anchor);
        }
        current = intermediates
            .iter()
            .find(|candidate| {
                candidate.is_ca()
                    && candidate.allows_path_length(depth)
                    && issued(candidate, current)
            })
            .ok_or("no allowed CA issued the EK certificate, nor any intermediate that was sent")?;
    }
    Err(format!("more than {MAX_INTERMEDIATES} intermediates stand between EK and allowed CA"))
}

fn check_usable(certificate: &EkCertificate, now: u64) -> Result<(), String> {
    if !certificate.is_strict() {
        return Err("a certificate is malformed; register the EK by its hash instead".to_owned());
    }
    if certificate.has_unknown_critical_extension() {
        return Err("a certificate has a critical extension that is not understood".to_owned());
    }
    if !certificate.is_valid_at(now) {
        return Err("a certificate is not valid at this time".to_owned());
    }
    Ok(())
}

fn issued(issuer: &EkCertificate, subject: &EkCertificate) -> bool {
    issuer.subject() == subject.issuer()
        && SignatureScheme::from_der(subject.signature_algorithm())
            .and_then(|scheme| {
                VerifyingKey::from_spki_der(issuer.spki())?.verify(
                    scheme,
                    subject.tbs(),
                    subject.signature(),
                )
            })
            .is_ok()
}
