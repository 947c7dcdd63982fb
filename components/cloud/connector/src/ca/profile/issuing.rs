//! The issuing CA.

use rcgen::{CertificateParams, DnType};
use time::{Duration, OffsetDateTime};

use super::{Validity, authority, suffix};
use crate::ca::Serial;

const LIFE: Duration = Duration::days(5 * 365);

/// An issuing CA under a root that ends at `root_ends`.
pub(in crate::ca) fn issuing(
    serial: &Serial,
    now: OffsetDateTime,
    root_ends: OffsetDateTime,
) -> CertificateParams {
    let mut params = authority(serial, Validity::of(now, LIFE, root_ends), 0);
    let name = format!("Holdfast issuing CA {}", suffix(serial));
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, "Holdfast");
    params
}
