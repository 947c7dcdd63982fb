//! The certificate profiles: what a certificate of each kind contains, and for how long. All of it
//! is the server's; a request contributes its key alone.

mod device;
mod issuing;
mod ocsp;
mod policy;
mod public_url;
mod receipt;
mod root;
pub(super) mod server;

pub use device::{Assurance, DeviceProfile, LeafSubject, ProfileError};
pub(super) use issuing::issuing;
pub(super) use ocsp::ocsp_responder;
pub(super) use policy::policy_signer;
pub use public_url::{PublicUrl, PublicUrlError};
pub(super) use receipt::receipt_signer;
pub(super) use root::{CrossSigned, cross, root};
pub(super) use server::server;

use holdfast_attestation::oid::HoldfastOid;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa,
    KeyUsagePurpose, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::Serial;

/// Whoever is to trust a new certificate may have a slow clock; devices judge by one that may stand
/// at the build time of their image.
const BACKDATED: Duration = Duration::hours(1);
/// id-ce-extKeyUsage (RFC 5280, 4.2.1.12)
const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];

/// Start and end of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    from: OffsetDateTime,
    until: OffsetDateTime,
}

impl Validity {
    /// From now on for a life, but no longer than the issuer.
    fn of(now: OffsetDateTime, life: Duration, issuer_ends: OffsetDateTime) -> Self {
        Self { from: now - BACKDATED, until: (now + life).min(issuer_ends) }
    }
}

fn base(serial: &Serial, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from(serial.to_bytes()));
    params.not_before = validity.from;
    params.not_after = validity.until;
    params.use_authority_key_identifier_extension = true;
    params
}

fn end_entity(serial: &Serial, validity: Validity) -> CertificateParams {
    let mut params = base(serial, validity);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

/// A certificate of the server that is for one purpose of ours and for nothing else.
fn single_purpose(
    serial: &Serial,
    validity: Validity,
    name: &str,
    purpose: &HoldfastOid,
) -> CertificateParams {
    let mut params = end_entity(serial, validity);
    params.distinguished_name.push(DnType::CommonName, name);
    let purposes = purpose.to_extended_key_usage_der();
    let mut usage = CustomExtension::from_oid_content(&EXTENDED_KEY_USAGE, purposes);
    usage.set_criticality(true);
    params.custom_extensions = vec![usage];
    params
}

/// A CA below which `path_length` other CAs may stand.
fn authority(serial: &Serial, validity: Validity, path_length: u8) -> CertificateParams {
    let mut params = base(serial, validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// What tells CAs of different installations apart: without it, path building may confuse them.
fn suffix(serial: &Serial) -> &str {
    let text = serial.as_str();
    &text[..text.len().min(8)]
}
