//! The device certificate.

use der::Encode as _;
use der::asn1::Ia5String as DerIa5String;
use holdfast_attestation::oid::{self, HoldfastOid};
use rcgen::string::{Ia5String, PrintableString};
use rcgen::{
    CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AccessDescription, AuthorityInfoAccessSyntax};

use super::{PublicUrl, Validity, end_entity};
use crate::ca::{CaCertificate, Serial};

/// X.520 serialNumber.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];
/// certificatePolicies (RFC 5280, 4.2.1.4).
const CERTIFICATE_POLICIES: [u64; 4] = [2, 5, 29, 32];
/// authorityInfoAccess (RFC 5280, 4.2.2.1).
const AUTHORITY_INFO_ACCESS: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 1];

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

/// What the operator decides of device certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProfile {
    /// How long they are good.
    pub life: Duration,
    /// Where third parties find out whether one is revoked; named in the certificates if known.
    pub public_url: Option<PublicUrl>,
}

impl Default for DeviceProfile {
    fn default() -> Self {
        Self { life: Self::LIFE, public_url: None }
    }
}

impl DeviceProfile {
    /// Life of a device certificate unless it is said otherwise.
    pub const LIFE: Duration = Duration::days(90);

    /// The content of a certificate under `issuer`.
    pub(in crate::ca) fn certificate(
        &self,
        subject: LeafSubject<'_>,
        assurance: Assurance,
        serial: &Serial,
        issuer: &CaCertificate,
        now: OffsetDateTime,
    ) -> Result<CertificateParams, ProfileError> {
        let mut params = end_entity(serial, Validity::of(now, self.life, issuer.not_after()));
        params.distinguished_name = subject.distinguished_name();
        params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(subject.uri())?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.custom_extensions.push(CustomExtension::from_oid_content(
            &CERTIFICATE_POLICIES,
            assurance.policy().to_certificate_policies_der(),
        ));
        if let Some(url) = &self.public_url {
            params.crl_distribution_points =
                vec![CrlDistributionPoint { uris: vec![url.crl(issuer.id())] }];
            params.custom_extensions.push(CustomExtension::from_oid_content(
                &AUTHORITY_INFO_ACCESS,
                authority_info_access(url, issuer)?,
            ));
        }
        Ok(params)
    }
}

/// Why the content of a certificate cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// A name or another value.
    #[error(transparent)]
    Value(#[from] rcgen::Error),
    /// An extension.
    #[error("an extension: {0}")]
    Extension(#[from] der::Error),
}

fn authority_info_access(url: &PublicUrl, issuer: &CaCertificate) -> Result<Vec<u8>, ProfileError> {
    let access = |access_method, uri: String| {
        let uri = DerIa5String::new(&uri)?;
        let access_location = GeneralName::UniformResourceIdentifier(uri);
        Ok::<_, der::Error>(AccessDescription { access_method, access_location })
    };
    let accesses = AuthorityInfoAccessSyntax(vec![
        access(const_oid::db::rfc5280::ID_AD_OCSP, url.ocsp())?,
        access(const_oid::db::rfc5280::ID_AD_CA_ISSUERS, url.certificate(issuer.id()))?,
    ]);
    Ok(accesses.to_der()?)
}
