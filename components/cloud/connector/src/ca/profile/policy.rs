//! The certificate of the key that signs policies for devices: of this purpose alone, so that it
//! speaks for the server in nothing else.

use holdfast_attestation::oid::PURPOSE_POLICY;
use rcgen::CertificateParams;
use time::{Duration, OffsetDateTime};

use super::{Validity, single_purpose};
use crate::ca::Serial;

/// A device judges a policy when it gets it, not later.
const LIFE: Duration = Duration::days(30);

/// A signer's certificate under an issuing CA that ends at `issuer_ends`.
pub(in crate::ca) fn policy_signer(
    serial: &Serial,
    now: OffsetDateTime,
    issuer_ends: OffsetDateTime,
) -> CertificateParams {
    let validity = Validity::of(now, LIFE, issuer_ends);
    single_purpose(serial, validity, "Holdfast device policies", &PURPOSE_POLICY)
}
