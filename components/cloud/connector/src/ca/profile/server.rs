//! The server's own TLS certificate.

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose};
use time::{Duration, OffsetDateTime};

use super::{Validity, end_entity};
use crate::ca::{Serial, ServerNames};

/// Below the 398 days that TLS clients on the web accept.
pub(in crate::ca) const LIFE: Duration = Duration::days(397);

/// The server's certificate under an issuing CA that ends at `issuer_ends`.
pub(in crate::ca) fn server(
    names: &ServerNames,
    serial: &Serial,
    now: OffsetDateTime,
    issuer_ends: OffsetDateTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = end_entity(serial, Validity::of(now, LIFE, issuer_ends));
    params.distinguished_name.push(DnType::CommonName, "Holdfast connector");
    params.subject_alt_names = names.to_subject_alt_names()?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}
