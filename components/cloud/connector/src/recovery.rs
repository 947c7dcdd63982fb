//! Recovery keys of devices, as the server keeps them: wrapped to an operator whose private key it
//! never sees.

use holdfast_recovery::{Occasion, WrappedKey};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::registry::{Digest, Tenant};

/// A recovery key without the key: what there is, since when, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryKeySummary {
    /// The device.
    pub device_id: Uuid,
    /// Its name.
    pub edge_id: String,
    /// Its owner.
    pub tenant: Tenant,
    /// SHA-256 of the message.
    pub sha256: Digest,
    /// UUID of the LUKS2 volume that it opens.
    pub luks_uuid: String,
    /// The key slot.
    pub keyslot: u32,
    /// When it was made, by the device's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Why it was made.
    pub occasion: Occasion,
    /// SHA-256 of the operator's public key to which it is wrapped.
    pub recipient_sha256: Digest,
    /// When the device handed it over.
    #[serde(with = "time::serde::rfc3339")]
    pub stored_at: OffsetDateTime,
}

/// A recovery key with the message that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRecoveryKey {
    /// What it is.
    #[serde(flatten)]
    pub summary: RecoveryKeySummary,
    /// CMS `AuthEnvelopedData` in PEM.
    pub message: String,
}

/// A recovery key to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecoveryKey {
    /// As the device sent it.
    pub wrapped: WrappedKey,
    /// Its recipient's digest.
    pub recipient_sha256: Digest,
}
