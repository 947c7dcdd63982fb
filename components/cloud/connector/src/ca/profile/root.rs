//! The root, and the cross certificates that lead from one root to the next (RFC 4210, 4.4).

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyIdMethod};
use time::{Duration, OffsetDateTime};

use super::{BACKDATED, Validity, authority, suffix};
use crate::ca::{CaCertificate, Serial};

const LIFE: Duration = Duration::days(20 * 365);
const ORGANIZATION: &str = "Holdfast";
/// Below a cross certificate stands the issuing CA, and nothing below that.
const CROSS_PATH_LENGTH: u8 = 1;
/// Below a root there may be a cross certificate, too. It is self-issued, which path length does
/// not count (RFC 5280, 4.2.1.9), but `GnuTLS` does.
const PATH_LENGTH: u8 = CROSS_PATH_LENGTH + 1;

/// A root. Its successor keeps its name, as RFC 4210 (4.4) has it: only then is the cross
/// certificate self-issued.
pub(in crate::ca) fn root(
    predecessor: Option<&CaCertificate>,
    serial: &Serial,
    now: OffsetDateTime,
) -> CertificateParams {
    let validity = Validity { from: now - BACKDATED, until: now + LIFE };
    let mut params = authority(serial, validity, PATH_LENGTH);
    params.distinguished_name = match predecessor {
        Some(predecessor) => name(predecessor.common_name()),
        None => name(&format!("Holdfast root {}", suffix(serial))),
    };
    params
}

/// Whose key and name a cross certificate vouches for, and until when.
pub(in crate::ca) struct CrossSigned<'a> {
    /// The root that is vouched for.
    pub subject: &'a CaCertificate,
    /// The root that vouches.
    pub issuer: &'a CaCertificate,
}

/// A cross certificate: good for as long as both roots are.
pub(in crate::ca) fn cross(
    roots: &CrossSigned<'_>,
    serial: &Serial,
    now: OffsetDateTime,
) -> CertificateParams {
    let CrossSigned { subject, issuer } = roots;
    let validity =
        Validity { from: now - BACKDATED, until: subject.not_after().min(issuer.not_after()) };
    let mut params = authority(serial, validity, CROSS_PATH_LENGTH);
    params.distinguished_name = name(subject.common_name());
    params.key_identifier_method = KeyIdMethod::PreSpecified(subject.key_identifier().to_vec());
    params
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name.push(DnType::OrganizationName, ORGANIZATION);
    name
}
