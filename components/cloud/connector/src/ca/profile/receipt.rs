//! The certificate of the key that signs receipts of audit records: of this purpose alone, so that
//! it speaks for the server in nothing else.

use holdfast_attestation::oid::PURPOSE_AUDIT_RECEIPT;
use rcgen::{CertificateParams, CustomExtension, DnType};
use time::{Duration, OffsetDateTime};

use super::{Validity, end_entity};
use crate::ca::Serial;

/// Devices hold on to a receipt until the next one; it is not revoked.
const LIFE: Duration = Duration::days(30);
/// id-ce-extKeyUsage (RFC 5280, 4.2.1.12)
const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];

/// A signer's certificate under an issuing CA that ends at `issuer_ends`.
pub(in crate::ca) fn receipt_signer(
    serial: &Serial,
    now: OffsetDateTime,
    issuer_ends: OffsetDateTime,
) -> CertificateParams {
    let mut params = end_entity(serial, Validity::of(now, LIFE, issuer_ends));
    params.distinguished_name.push(DnType::CommonName, "Holdfast audit receipts");
    let purposes = PURPOSE_AUDIT_RECEIPT.to_extended_key_usage_der();
    let mut usage = CustomExtension::from_oid_content(&EXTENDED_KEY_USAGE, purposes);
    usage.set_criticality(true);
    params.custom_extensions = vec![usage];
    params
}
