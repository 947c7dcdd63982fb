//! The certificate of the key that signs receipts of audit records: of this purpose alone, so that
//! it speaks for the server in nothing else.

use holdfast_attestation::oid::PURPOSE_AUDIT_RECEIPT;
use rcgen::CertificateParams;
use time::{Duration, OffsetDateTime};

use super::{Validity, single_purpose};
use crate::ca::Serial;

/// Devices hold on to a receipt until the next one; it is not revoked.
const LIFE: Duration = Duration::days(30);

/// A signer's certificate under an issuing CA that ends at `issuer_ends`.
pub(in crate::ca) fn receipt_signer(
    serial: &Serial,
    now: OffsetDateTime,
    issuer_ends: OffsetDateTime,
) -> CertificateParams {
    let validity = Validity::of(now, LIFE, issuer_ends);
    single_purpose(serial, validity, "Holdfast audit receipts", &PURPOSE_AUDIT_RECEIPT)
}
