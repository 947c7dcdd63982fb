//! The certificate of the OCSP responder (RFC 6960, 4.2.2.2): the issuing CA delegates, so that its
//! own key signs nothing that strangers ask for.

use rcgen::{CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose};
use time::{Duration, OffsetDateTime};

use super::{Validity, end_entity};
use crate::ca::Serial;

/// Short, since it cannot be revoked.
const LIFE: Duration = Duration::days(7);
/// id-pkix-ocsp-nocheck (RFC 6960, 4.2.2.2.1): nobody asks the responder about itself.
const NO_CHECK: [u64; 10] = [1, 3, 6, 1, 5, 5, 7, 48, 1, 5];
/// DER NULL.
const NULL: [u8; 2] = [5, 0];

/// A responder's certificate under an issuing CA that ends at `issuer_ends`.
pub(in crate::ca) fn ocsp_responder(
    serial: &Serial,
    now: OffsetDateTime,
    issuer_ends: OffsetDateTime,
) -> CertificateParams {
    let mut params = end_entity(serial, Validity::of(now, LIFE, issuer_ends));
    params.distinguished_name.push(DnType::CommonName, "Holdfast OCSP responder");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
    params.custom_extensions = vec![CustomExtension::from_oid_content(&NO_CHECK, NULL.to_vec())];
    params
}
