//! What is known of a device.

use std::str::FromStr;

use holdfast_attestation::edge_id::EdgeId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{DeviceState, Digest, GroupName, Tenant};
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

/// How a registration knows its device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// By the hash of its TPM's endorsement key.
    #[default]
    EkSha256,
    /// By the maker of its TPM: the first genuine one is bound for good.
    EkCa,
    /// By a one-time code: the first TPM whose device has it is bound for good.
    PairingCode,
    /// By a one-time enrolment secret, without a TPM.
    PlainEst,
}

impl Binding {
    /// The name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EkSha256 => "ek_sha256",
            Self::EkCa => "ek_ca",
            Self::PairingCode => "pairing_code",
            Self::PlainEst => "plain_est",
        }
    }

    /// Who lets a device in, where the operator does not say. A maker's certificate proves a chip,
    /// not that it is the one that was meant.
    pub fn default_approval(self) -> Approval {
        match self {
            Self::EkCa => Approval::Manual,
            Self::EkSha256 | Self::PairingCode | Self::PlainEst => Approval::Auto,
        }
    }
}

impl FromStr for Binding {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        [Self::EkSha256, Self::EkCa, Self::PairingCode, Self::PlainEst]
            .into_iter()
            .find(|binding| binding.as_str() == text)
            .ok_or_else(|| WordError {
                found: text.chars().take(40).collect(),
                expected: "ek_sha256, ek_ca, pairing_code, plain_est",
            })
    }
}

/// What is kept of a secret that a registration gave out once.
#[derive(Clone, PartialEq, Eq)]
pub enum RegistrationSecret {
    /// The pairing code itself, since the server must compute the binding with it. A key to
    /// encrypt it with would lie in the same folder. It is deleted when the device is active.
    PairingCode([u8; 16]),
    /// SHA-256 of the enrolment secret; 128 random bits need no stretching. Deleted with use.
    EnrolmentSecret(Digest),
}

/// A TPM that was proven in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvenTpm {
    /// The TPM.
    pub ek_sha256: Digest,
    /// Whether no maker that is allowed vouches for it.
    pub is_unproven: bool,
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
    /// What is in force: what the device's registration says, else what its group says, else
    /// [`Self::Enforce`].
    pub fn in_force(of_device: Option<Self>, of_group: Option<Self>) -> Self {
        of_device.or(of_group).unwrap_or_default()
    }

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
#[derive(Clone)]
pub struct NewDevice {
    /// Identity of the record, made by the caller.
    pub id: Uuid,
    /// Owner.
    pub tenant: Tenant,
    /// Normalised Edge ID.
    pub edge_id: EdgeId,
    /// How its device is known.
    pub binding: Binding,
    /// SHA-256 of the endorsement key's `SubjectPublicKeyInfo`, with [`Binding::EkSha256`].
    pub ek_sha256: Option<Digest>,
    /// With [`Binding::PairingCode`] and [`Binding::PlainEst`].
    pub secret: Option<RegistrationSecret>,
    /// Until when the device must have enrolled.
    pub not_after: Option<OffsetDateTime>,
    /// Who lets it in.
    pub approval: Approval,
    /// What an unknown quote leads to, whatever its group says.
    pub quote_mode: Option<QuoteMode>,
    /// The group that it is in, which must be there.
    pub group: Option<GroupName>,
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
    /// How it is known.
    #[serde(default)]
    pub binding: Binding,
    /// Its TPM, unique among all devices that are not retired; none until one is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ek_sha256: Option<Digest>,
    /// Whether no maker that is allowed vouches for the TPM.
    #[serde(default)]
    pub tpm_unproven: bool,
    /// Until when it must have enrolled.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub not_after: Option<OffsetDateTime>,
    /// Where it is in its life.
    pub state: DeviceState,
    /// State to which a suspended device returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_before_suspension: Option<DeviceState>,
    /// Who lets it in.
    pub approval: Approval,
    /// What an unknown quote leads to, whatever its group says; none: the group decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_mode: Option<QuoteMode>,
    /// The group that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// What an unknown quote leads to, by [`QuoteMode::in_force`].
    pub quote_policy: QuoteMode,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_speaks_before_its_group_and_the_default_last() {
        use QuoteMode::{Enforce, Record};
        for (of_device, of_group, expected) in [
            (None, None, Enforce),
            (None, Some(Enforce), Enforce),
            (None, Some(Record), Record),
            (Some(Enforce), None, Enforce),
            (Some(Enforce), Some(Record), Enforce),
            (Some(Record), None, Record),
            (Some(Record), Some(Enforce), Record),
        ] {
            let in_force = QuoteMode::in_force(of_device, of_group);
            assert_eq!(in_force, expected, "{of_device:?} {of_group:?}");
        }
    }
}
