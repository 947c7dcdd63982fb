//! What is known of a device.

use std::str::FromStr;

use holdfast_attestation::edge_id::EdgeId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{DeviceState, Digest, Tenant};
use crate::ca::Serial;

/// Who lets a registered device in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// The matching TPM is enough.
    #[default]
    Auto,
    /// An operator approves the first enrolment.
    Manual,
}

/// What a quote that matches no published release leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuoteMode {
    /// No certificate.
    #[default]
    Enforce,
    /// A certificate, and an event for the operator.
    Record,
}

impl Approval {
    /// The name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
        }
    }
}

impl QuoteMode {
    /// The name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Record => "record",
        }
    }
}

/// A text is none of the words that are expected.
#[derive(Debug, thiserror::Error)]
#[error("\"{found}\" is not one of {expected}")]
pub struct WordError {
    found: String,
    expected: &'static str,
}

impl WordError {
    pub(super) fn new(found: &str, expected: &'static str) -> Self {
        Self { found: found.chars().take(40).collect(), expected }
    }
}

impl FromStr for Approval {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        match text {
            "auto" => Ok(Self::Auto),
            "manual" => Ok(Self::Manual),
            _ => Err(WordError::new(text, "auto, manual")),
        }
    }
}

impl FromStr for QuoteMode {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "record" => Ok(Self::Record),
            _ => Err(WordError::new(text, "enforce, record")),
        }
    }
}

/// A registration as the operator writes it.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// Identity of the record, made by the caller.
    pub id: Uuid,
    /// Owner.
    pub tenant: Tenant,
    /// Normalised Edge ID.
    pub edge_id: EdgeId,
    /// SHA-256 of the endorsement key's `SubjectPublicKeyInfo`.
    pub ek_sha256: Digest,
    /// Who lets it in.
    pub approval: Approval,
    /// What an unknown quote leads to.
    pub quote_mode: QuoteMode,
    /// The operator's words.
    pub note: Option<String>,
    /// When.
    pub at: OffsetDateTime,
    /// Name of who registers.
    pub by: String,
}

/// A device of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Stays the same as long as the registration lives.
    pub id: Uuid,
    /// Owner.
    pub tenant: Tenant,
    /// Unique within the tenant among devices that are not retired.
    pub edge_id: String,
    /// Unique among all devices that are not retired.
    pub ek_sha256: Digest,
    /// Where it is in its life.
    pub state: DeviceState,
    /// State to which a suspended device returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_before_suspension: Option<DeviceState>,
    /// Who lets it in.
    pub approval: Approval,
    /// What an unknown quote leads to.
    pub quote_mode: QuoteMode,
    /// PCR 7 of its first enrolment, held from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcr7: Option<Digest>,
    /// The operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was registered.
    #[serde(with = "time::serde::rfc3339")]
    pub registered_at: OffsetDateTime,
    /// By whom.
    pub registered_by: String,
    /// When its state or binding last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub changed_at: OffsetDateTime,
    /// By whom.
    pub changed_by: String,
    /// When it last got a certificate.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub enrolled_at: Option<OffsetDateTime>,
    /// When it last called, to the minute.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub last_seen_at: Option<OffsetDateTime>,
}

/// How an operator names a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceRef {
    /// By device id.
    Id(Uuid),
    /// By Edge ID; the tenant is needed only where several tenants use the same one.
    EdgeId {
        /// Owner.
        tenant: Option<Tenant>,
        /// Normalised.
        edge_id: EdgeId,
    },
}

/// A certificate that was issued to a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// Serial number.
    pub serial: Serial,
    /// Whose.
    pub device_id: Uuid,
    /// SHA-256 of its key's `SubjectPublicKeyInfo`.
    pub spki_sha256: Digest,
    /// Start of validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// End of validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// Whether the TPM vouched for the key.
    pub attested: bool,
    /// Where a newer certificate took over: the end of this one's overlap.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub accepted_until: Option<OffsetDateTime>,
    /// When it was revoked.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
}

impl CertificateRecord {
    /// Whether the device API accepts it, apart from the device's state.
    pub fn is_accepted(&self, now: OffsetDateTime) -> bool {
        self.revoked_at.is_none()
            && now < self.not_after
            && self.accepted_until.is_none_or(|until| now < until)
    }
}

/// What was shown and decided at an enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentRecord {
    /// Whose.
    pub device_id: Uuid,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Identifies the request in logs.
    pub request_id: String,
    /// From where.
    pub source: String,
    /// The certificate that came of it.
    pub certificate_serial: Serial,
    /// SHA-256 of the key's `SubjectPublicKeyInfo`.
    pub spki_sha256: Digest,
    /// Quoted PCR values, by index.
    pub pcrs: Vec<(u32, Digest)>,
    /// Release and boot phase that PCR 11 stands for, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// SHA-256 of the site configuration that PCR 14 stands for, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_sha256: Option<Digest>,
    /// Why an enforcing policy would have refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<String>,
    /// The evidence as it was sent, DER.
    #[serde(skip)]
    pub evidence: Vec<u8>,
    /// The AK's `TPMT_PUBLIC`.
    #[serde(skip)]
    pub ak_public: Vec<u8>,
    /// The EK certificates as they were sent.
    #[serde(skip)]
    pub ek_certificates: Vec<Vec<u8>>,
}
