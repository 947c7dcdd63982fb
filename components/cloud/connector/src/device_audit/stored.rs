//! What the store remembers of logs.

use holdfast_audit_log::Hash;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::log::{BatchContent, LogId, LogState, Position};
use crate::registry::Digest;

/// The log that another one follows, as its device tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousLog {
    /// Its id.
    pub log: LogId,
    /// Records that the device had of it.
    pub size: u64,
    /// Hash of the last of them.
    pub head: Digest,
}

/// A log to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLog {
    /// Its id.
    pub id: LogId,
    /// Its device.
    pub device_id: Uuid,
    /// What signs its checkpoints: DER `SubjectPublicKeyInfo`.
    pub key_spki: Vec<u8>,
    /// The log that it follows.
    pub previous: Option<PreviousLog>,
    /// When.
    pub at: OffsetDateTime,
}

/// A log of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLog {
    /// Its id.
    pub id: LogId,
    /// Its device.
    pub device_id: Uuid,
    /// What signs its checkpoints: DER `SubjectPublicKeyInfo`.
    pub key_spki: Vec<u8>,
    /// Whether it still grows.
    pub state: LogState,
    /// Up to where it is stored.
    pub position: Position,
    /// The log that it follows.
    pub previous: Option<PreviousLog>,
    /// When it was registered.
    pub registered_at: OffsetDateTime,
    /// When the last batch came.
    pub uploaded_at: Option<OffsetDateTime>,
}

/// A batch whose file is written, to be made part of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBatch {
    /// Its log.
    pub log: LogId,
    /// The log's device.
    pub device_id: Uuid,
    /// Number of its first record: the size that the log must still have.
    pub first: u64,
    /// The head that the log must still have.
    pub after: Hash,
    /// Number of its records.
    pub records: u64,
    /// The log with them.
    pub position: Position,
    /// What they are about.
    pub content: BatchContent,
    /// Length of the file, bytes.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// When.
    pub at: OffsetDateTime,
}

/// A batch of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Grows with each batch of any log.
    pub id: i64,
    /// Its log.
    pub log: LogId,
    /// The log's device.
    pub device_id: Uuid,
    /// Number of its first record.
    pub first: u64,
    /// Number of its records.
    pub records: u64,
    /// Length of its file, bytes.
    pub bytes: u64,
    /// SHA-256 of its file.
    pub sha256: Digest,
}

/// Which batches may have what is looked for, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchQuery {
    /// Only of this device.
    pub device_id: Option<Uuid>,
    /// Only where this user or login user is.
    pub user: Option<u32>,
    /// Only where one of these classes is; one bit each.
    pub classes: Option<u32>,
    /// Only where one of these kinds is; one bit each.
    pub kinds: Option<u32>,
    /// Only where a record is at this time or later, nanoseconds since 1970.
    pub from_ns: Option<u64>,
    /// Only where a record is at this time or earlier.
    pub to_ns: Option<u64>,
    /// Only batches up to this one.
    pub up_to: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Some of the batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchPage {
    /// Newest first.
    pub batches: Vec<StoredBatch>,
    /// Batches up to this one were not looked at; none: all were.
    pub rest: Option<i64>,
}
