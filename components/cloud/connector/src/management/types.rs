//! Bodies of requests and answers; the command line uses the same types.

use serde::{Deserialize, Serialize};

use crate::access::Role;
use crate::registry::{
    Approval, CertificateRecord, Device, Digest, EnrolmentRecord, Event, QuoteMode, Tenant,
};

/// Registers a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterDevice {
    /// Owner; may be left out while there is one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// As it is printed or read on the device; it is normalised.
    pub edge_id: String,
    /// SHA-256 of the endorsement key's `SubjectPublicKeyInfo`.
    pub ek_sha256: Digest,
    /// Who lets it in.
    #[serde(default)]
    pub approval: Approval,
    /// What an unknown quote leads to.
    #[serde(default)]
    pub quote_mode: QuoteMode,
    /// The operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Gives an Edge ID to another TPM.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebindDevice {
    /// The new TPM.
    pub ek_sha256: Digest,
}

/// A device with all that an operator wants to see at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceDetail {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// Newest first.
    pub certificates: Vec<CertificateRecord>,
    /// Newest first.
    pub enrolments: Vec<EnrolmentRecord>,
    /// Newest first, the last few.
    pub events: Vec<Event>,
}

/// Adds a site configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddSite {
    /// site.toml
    pub document: String,
    /// site.toml.sig, hexadecimal.
    #[serde(default, with = "hex")]
    pub signature: Vec<u8>,
}

/// Makes an API key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// What people call it; it stands in audit records.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
}

/// An API key without its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiKeySummary {
    /// Part of the key that is not secret.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: time::OffsetDateTime,
    /// By whom.
    pub created_by: String,
    /// When it was revoked.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<time::OffsetDateTime>,
}

/// A new API key; the only time that the server shows it.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewApiKey {
    /// The key without its secret.
    #[serde(flatten)]
    pub summary: ApiKeySummary,
    /// The whole key.
    pub key: String,
}

/// The certificate authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuthorityDetail {
    /// The anchor that devices pin, PEM.
    pub root: String,
    /// The certificate that signs devices', PEM.
    pub issuing: String,
    /// Its end.
    #[serde(with = "time::serde::rfc3339")]
    pub issuing_not_after: time::OffsetDateTime,
}

/// A list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Items<T> {
    /// The things.
    pub items: Vec<T>,
}
