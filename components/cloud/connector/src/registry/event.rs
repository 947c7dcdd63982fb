//! What an operator should see of a device's dealings with the server.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Digest, Tenant};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Normal life.
    Info,
    /// Something did not work.
    Warning,
    /// Somebody may be attacking.
    Alert,
}

impl Severity {
    /// The name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Alert => "alert",
        }
    }
}

/// An event before the store gives it a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// How much it matters.
    pub severity: Severity,
    /// `enrolled`, `activated`, `enrolment-refused`, `connection-refused`, `firmware-changed`,
    /// `audit-gap`, `audit-fork`, `audit-rolled-back`, `audit-checkpoint-invalid`,
    /// `audit-log-replaced`.
    pub kind: String,
    /// The stable reason code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Owner of the device, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The device of the registry that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<Uuid>,
    /// The Edge ID that was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge_id: Option<String>,
    /// The TPM that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ek_sha256: Option<Digest>,
    /// Address that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the device was told to ask the operator about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What happened and what to do next, for people.
    pub detail: String,
}

/// An event of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows.
    pub id: i64,
    /// The event.
    #[serde(flatten)]
    pub event: NewEvent,
}
