//! From an upload to the store: unpacks, judges, makes durable, and only then lets the index know.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_attestation::hash::sha256;
use holdfast_audit_log::checkpoint::{AuditKey, NotAKey};
use holdfast_audit_log::tree::empty_root;
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use uuid::Uuid;

use super::judge::{Appended, Past, Point, Refusal, Subject, Verdict, judge};
use super::log::{LogId, Position};
use super::objects::{ObjectError, Objects, segment};
use super::stored::{NewBatch, StoredLog};
use crate::files::{self, FileError};
use crate::registry::Digest;
use crate::store::{Store, StoreError};

/// Longest upload after unpacking, bytes.
const UNPACKED: u64 = 4 << 20;
/// Largest window of a packed upload as a power of two: what zstd takes at its strongest ordinary
/// level. It is memory of ours.
const WINDOW_LOG: u32 = 23;
/// Uploads that are worked on at a time; each holds some megabytes, and mostly waits for the disk.
const AT_ONCE: usize = 64;
/// Logs that share a turn are as good as never busy at the same time.
const TURNS: usize = 256;

/// Why the server cannot do what it should with a log.
#[derive(Debug, thiserror::Error)]
pub enum DeviceAuditError {
    /// A folder or file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of a log.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The index.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key of a log is none.
    #[error("the stored key of a log: {0}")]
    Key(#[from] NotAKey),
    /// The index has a hole.
    #[error("no batch of log {log} has record {sequence}")]
    Missing {
        /// The log.
        log: LogId,
        /// The record.
        sequence: u64,
    },
    /// The work was cut off.
    #[error("the work on an upload was cut off: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

/// A body as it came.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Number that its first record is said to have.
    pub first: u64,
    /// What was sent.
    pub body: Bytes,
    /// Whether that is packed with zstd.
    pub is_packed: bool,
}

/// What came of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ingested {
    /// There is no such log of this device.
    Unknown,
    /// All of it is stored and durable; the log stands here.
    Stored(Position),
    /// It is no zstd.
    NotPacked(String),
    /// It is longer than an upload may be.
    TooLarge,
    /// Nothing of it is stored; the log stands here.
    Refused(Refusal, Position),
}

/// The audit logs of devices.
pub struct DeviceAudit {
    objects: Objects,
    /// One upload of a log at a time.
    turns: Vec<Mutex<()>>,
    room: Semaphore,
}

impl DeviceAudit {
    /// Opens the folder of all logs, makes it if it is missing, and removes what a crash left in it.
    pub async fn open(folder: &Path, store: &Arc<dyn Store>) -> Result<Self, DeviceAuditError> {
        files::create_private_folder(folder)?;
        let objects = Objects::at(folder);
        let sizes = store.audit_log_sizes().await?;
        let cleaned = objects.clone();
        tokio::task::spawn_blocking(move || {
            sizes.iter().try_for_each(|(log, size)| cleaned.remove_unfinished(log, *size))
        })
        .await??;
        let turns = (0..TURNS).map(|_| Mutex::default()).collect();
        Ok(Self { objects, turns, room: Semaphore::new(AT_ONCE) })
    }

    /// The files of logs.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Takes an upload for a log of this device.
    pub async fn ingest(
        &self,
        store: &Arc<dyn Store>,
        device_id: Uuid,
        id: LogId,
        upload: Upload,
        at: OffsetDateTime,
    ) -> Result<Ingested, DeviceAuditError> {
        let _room = self.room.acquire().await.map_err(|_| DeviceAuditError::Stopping)?;
        let first = upload.first;
        let bytes = match tokio::task::spawn_blocking(move || unpack(upload)).await? {
            Unpacked::Bytes(bytes) => bytes,
            Unpacked::TooLarge => return Ok(Ingested::TooLarge),
            Unpacked::NotPacked(detail) => return Ok(Ingested::NotPacked(detail)),
        };
        let _turn = self.turn(&id).lock().await;
        let log = store.audit_log(id).await?.filter(|log| log.device_id == device_id);
        let Some(log) = log else { return Ok(Ingested::Unknown) };
        let position = log.position.clone();
        let past = StoredPast {
            handle: Handle::current(),
            store: Arc::clone(store),
            objects: self.objects.clone(),
            log,
        };
        match tokio::task::spawn_blocking(move || write(past, first, &bytes, at)).await?? {
            Written::Nothing => Ok(Ingested::Stored(position)),
            Written::Refused(refusal) => Ok(Ingested::Refused(refusal, position)),
            Written::Batch(batch) => {
                let position = batch.position.clone();
                store.append_audit_batch(*batch).await?;
                Ok(Ingested::Stored(position))
            }
        }
    }

    fn turn(&self, id: &LogId) -> &Mutex<()> {
        let byte = u8::from_str_radix(&id.as_str()[..2], 16).unwrap_or_default();
        &self.turns[usize::from(byte) % TURNS]
    }
}

enum Unpacked {
    Bytes(Bytes),
    TooLarge,
    NotPacked(String),
}

fn unpack(Upload { body, is_packed, .. }: Upload) -> Unpacked {
    if !is_packed {
        return Unpacked::Bytes(body);
    }
    let read = || {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(body.as_ref())?;
        decoder.window_log_max(WINDOW_LOG)?;
        let mut bytes = Vec::new();
        decoder.take(UNPACKED + 1).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    match read() {
        Ok(bytes) if bytes.len() as u64 > UNPACKED => Unpacked::TooLarge,
        Ok(bytes) => Unpacked::Bytes(bytes.into()),
        Err(error) => Unpacked::NotPacked(error.to_string()),
    }
}

enum Written {
    Nothing,
    Refused(Refusal),
    Batch(Box<NewBatch>),
}

fn write(
    mut past: StoredPast,
    first: u64,
    bytes: &[u8],
    at: OffsetDateTime,
) -> Result<Written, DeviceAuditError> {
    let log = past.log.clone();
    let key = AuditKey::from_spki_der(&log.key_spki)?;
    let origin = log.id.origin();
    let subject = Subject { origin: &origin, key: &key, state: log.state, position: &log.position };
    let appended = match judge(&subject, first, bytes, &mut past)? {
        Verdict::Repeat => return Ok(Written::Nothing),
        Verdict::Refused(refusal) => return Ok(Written::Refused(refusal)),
        Verdict::Appends(appended) => *appended,
    };
    let Appended { offset, records, position, content } = appended;
    let Position { head: after, frontier, .. } = log.position;
    let first = frontier.size();
    let segment = segment(&log.id, after, frontier, &bytes[offset..]);
    past.objects.write(&log.id, first, &segment)?;
    Ok(Written::Batch(Box::new(NewBatch {
        log: log.id,
        device_id: log.device_id,
        first,
        after,
        records,
        position,
        content,
        bytes: segment.len() as u64,
        sha256: Digest(sha256(&[&segment])),
        at,
    })))
}

/// Looks up what is stored of a log, from a thread that may wait.
struct StoredPast {
    handle: Handle,
    store: Arc<dyn Store>,
    objects: Objects,
    log: StoredLog,
}

impl Past for StoredPast {
    type Error = DeviceAuditError;

    fn at(&mut self, size: u64) -> Result<Point, DeviceAuditError> {
        let id = &self.log.id;
        let Some(sequence) = size.checked_sub(1) else {
            return Ok(Point { head: id.origin().genesis(), root: empty_root() });
        };
        let found = self.handle.block_on(self.store.audit_batch_of(id.clone(), sequence))?;
        let batch = found.ok_or_else(|| DeviceAuditError::Missing { log: id.clone(), sequence })?;
        Ok(self.objects.point(id, batch.first, size)?)
    }
}
