//! The device certificate. Its content is the server's; a request contributes its key alone.

use holdfast_attestation::oid::{self, HoldfastOid};
use rcgen::string::{Ia5String, PrintableString};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::Serial;

/// Life of a device certificate.
pub(super) const LIFE: Duration = Duration::days(90);
/// Devices whose clock is slow must accept a new certificate at once.
const BACKDATED: Duration = Duration::hours(1);
/// X.520 serialNumber.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];
/// certificatePolicies (RFC 5280, 4.2.1.4).
const CERTIFICATE_POLICIES: [u64; 4] = [2, 5, 29, 32];

/// How the key of a certificate was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assurance {
    /// The key was shown to live in the registered TPM, under a known operating system.
    Attested,
    /// Only possession of the key was shown.
    NotAttested,
}

impl Assurance {
    fn policy(self) -> HoldfastOid {
        match self {
            Self::Attested => oid::POLICY_ATTESTED,
            Self::NotAttested => oid::POLICY_NOT_ATTESTED,
        }
    }
}

/// Whom a certificate names.
#[derive(Clone, Copy, Debug)]
pub struct LeafSubject<'a> {
    /// The device.
    pub device_id: Uuid,
    /// Its Edge ID, normalised.
    pub edge_id: &'a str,
    /// Its tenant.
    pub tenant: &'a str,
}

impl LeafSubject<'_> {
    /// The URI in the certificate's subjectAltName.
    pub fn uri(&self) -> String {
        format!("urn:holdfast:{}:device:{}", self.tenant, self.device_id)
    }

    fn distinguished_name(&self) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, self.device_id.to_string());
        name.push(DnType::from_oid(&SERIAL_NUMBER), printable(self.edge_id));
        name.push(DnType::OrganizationName, self.tenant);
        name
    }
}

/// X.520 wants a `PrintableString`, which has no underscore; an Edge ID may have one.
fn printable(text: &str) -> DnValue {
    PrintableString::try_from(text)
        .map_or_else(|_| DnValue::Utf8String(text.to_owned()), DnValue::PrintableString)
}

/// A certificate that was just issued.
#[derive(Clone, Debug)]
pub struct IssuedLeaf {
    /// Serial number.
    pub serial: Serial,
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// Start of validity.
    pub not_before: OffsetDateTime,
    /// End of validity.
    pub not_after: OffsetDateTime,
}

/// The content of a device certificate; `ends` is the end of the issuing CA.
pub(super) fn profile(
    subject: LeafSubject<'_>,
    serial: &Serial,
    assurance: Assurance,
    now: OffsetDateTime,
    ends: OffsetDateTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from(serial.to_bytes()));
    params.distinguished_name = subject.distinguished_name();
    params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(subject.uri())?)];
    params.not_before = now - BACKDATED;
    params.not_after = (now + LIFE).min(ends);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.custom_extensions = vec![CustomExtension::from_oid_content(
        &CERTIFICATE_POLICIES,
        assurance.policy().to_certificate_policies_der(),
    )];
    Ok(params)
}
