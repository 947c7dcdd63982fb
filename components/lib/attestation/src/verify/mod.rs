//! The server's numbered checks of an enrolment; check 10, the registration, is the registry's.
//!
//! | number | at | what |
//! |---|---|---|
//! | 1 | nonce | the EK public area equals the key in its certificate |
//! | 2 | nonce | the EK is registered, or its certificate chains to an allowed CA |
//! | 3 | nonce | the AK is a restricted signing key that cannot leave its TPM |
//! | 4 | enrolment | the certificate request is signed with its own key |
//! | 5 | enrolment | the nonce is known, unexpired, unused and of this connection |
//! | 6 | enrolment | the qualifying data of both statements is the recomputed binding |
//! | 7 | enrolment | both statements are a TPM's and signed by the AK |
//! | 8 | enrolment | the certified key is that of the request, and cannot leave its TPM |
//! | 9 | enrolment | the quoted PCRs are those of a known release and site |

mod audit_key;
mod boot;
mod chain;
mod enrolment;
mod nonce_request;

pub use audit_key::{AuditKeyRefusal, check_audit_key};
pub use boot::{BootExpectation, BootVerdict, KnownRelease, check_boot_state};
pub use enrolment::{
    EnrolmentContext, EnrolmentVerdict, check_binding, check_csr_signature, check_device_key,
    check_enrolment, check_evidence_signatures, check_nonce,
};
pub use nonce_request::{
    EkProof, EkTrust, NonceVerdict, check_ak_attributes, check_ek_certificate_key,
    check_ek_certificates, check_ek_trust, check_nonce_request,
};

use crate::refusal::Reason;

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("check {number} failed ({reason}): {detail}")]
pub struct CheckFailure {
    /// The check's number, 1 to 9.
    pub number: u8,
    /// The stable code.
    pub reason: Reason,
    /// For the operator: what was found and what was expected.
    pub detail: String,
}

impl CheckFailure {
    fn new(number: u8, reason: Reason, detail: impl Into<String>) -> Self {
        Self { number, reason, detail: detail.into() }
    }
}
