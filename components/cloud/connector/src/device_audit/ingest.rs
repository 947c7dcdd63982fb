//! From an upload to the store: unpacks, judges, makes durable, and only then lets the index know.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_attestation::hash::sha256;
use holdfast_audit_log::checkpoint::{AuditKey, NotAKey};
use holdfast_audit_log::segment::SegmentHeader;
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
    /// Opens the folder of all logs, or makes it. A file that the index does not know, as a crash
    /// or an older copy of the index leaves it, is judged anew and taken in where it goes on.
    pub async fn open(
        folder: &Path,
        store: &Arc<dyn Store>,
        now: OffsetDateTime,
    ) -> Result<Self, DeviceAuditError> {
        if !folder.is_dir() {
            files::create_private_folder(folder)?;
            files::sync_folder(folder.parent().unwrap_or(folder))?;
        }
        let objects = Objects::at(folder);
        let turns = (0..TURNS).map(|_| Mutex::default()).collect();
        let audit = Self { objects: objects.clone(), turns, room: Semaphore::new(AT_ONCE) };
        let sizes = store.audit_log_sizes().await?;
        let look = move || {
            let mut longer = Vec::new();
            for (log, size) in sizes {
                objects.remove_unfinished(&log, size)?;
                if objects.has(&log, size) {
                    longer.push(log);
                }
            }
            Ok::<_, DeviceAuditError>(longer)
        };
        for log in tokio::task::spawn_blocking(look).await?? {
            audit.take_in(store, &log, now).await?;
        }
        Ok(audit)
    }

    async fn take_in(
        &self,
        store: &Arc<dyn Store>,
        id: &LogId,
        at: OffsetDateTime,
    ) -> Result<(), DeviceAuditError> {
        while let Some(log) = store.audit_log(id.clone()).await? {
            let first = log.position.size();
            if !self.objects.has(id, first) {
                break;
            }
            let past = self.past(store, log);
            let batch = tokio::task::spawn_blocking(move || judge_stored(past, at)).await??;
            let Some(batch) = batch else {
                tracing::error!(log = %id, first, "a file that the index does not know is no part of \
                    its log; it stays until it is written over");
                break;
            };
            tracing::warn!(log = %id, first, records = batch.records, "took a file in that the \
                index did not know");
            store.append_audit_batch(batch).await?;
        }
        Ok(())
    }

    fn past(&self, store: &Arc<dyn Store>, log: StoredLog) -> StoredPast {
        let (store, objects) = (Arc::clone(store), self.objects.clone());
        StoredPast { handle: Handle::current(), store, objects, log }
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
        let _turn = self.turn(&id).lock().await;
        let _room = self.room.acquire().await.map_err(|_| DeviceAuditError::Stopping)?;
        let log = store.audit_log(id).await?.filter(|log| log.device_id == device_id);
        let Some(log) = log else { return Ok(Ingested::Unknown) };
        let position = log.position.clone();
        let past = self.past(store, log);
        let work = move || match unpack(&upload) {
            Unpacked::Bytes(bytes) => write(past, upload.first, &bytes, at),
            Unpacked::TooLarge => Ok(Written::TooLarge),
            Unpacked::NotPacked(detail) => Ok(Written::NotPacked(detail)),
        };
        Ok(match tokio::task::spawn_blocking(work).await?? {
            Written::Nothing => Ingested::Stored(position),
            Written::Refused(refusal) => Ingested::Refused(refusal, position),
            Written::TooLarge => Ingested::TooLarge,
            Written::NotPacked(detail) => Ingested::NotPacked(detail),
            Written::Batch(batch) => {
                let position = batch.position.clone();
                store.append_audit_batch(*batch).await?;
                Ingested::Stored(position)
            }
        })
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

fn unpack(Upload { body, is_packed, .. }: &Upload) -> Unpacked {
    if !is_packed {
        return Unpacked::Bytes(body.clone());
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
    TooLarge,
    NotPacked(String),
    Batch(Box<NewBatch>),
}

fn write(
    mut past: StoredPast,
    first: u64,
    bytes: &[u8],
    at: OffsetDateTime,
) -> Result<Written, DeviceAuditError> {
    let appended = match past.judge(first, bytes)? {
        Verdict::Repeat => return Ok(Written::Nothing),
        Verdict::Refused(refusal) => return Ok(Written::Refused(refusal)),
        Verdict::Appends(appended) => *appended,
    };
    let StoredLog { id, position, .. } = &past.log;
    let frames = &bytes[appended.offset..];
    let segment = segment(id, position.head, position.frontier.clone(), frames);
    past.objects.write(id, position.size(), &segment)?;
    Ok(Written::Batch(Box::new(past.batch(appended, &segment, at))))
}

/// A file that lies where the log goes on; none if it does not go on there.
fn judge_stored(
    mut past: StoredPast,
    at: OffsetDateTime,
) -> Result<Option<NewBatch>, DeviceAuditError> {
    let first = past.log.position.size();
    let segment = past.objects.read(&past.log.id, first)?;
    let Ok(header) = SegmentHeader::decode(&segment) else { return Ok(None) };
    let Position { head, frontier, .. } = &past.log.position;
    if header.previous != *head || header.frontier != *frontier {
        return Ok(None);
    }
    Ok(match past.judge(first, &segment[header.encoded_len()..])? {
        Verdict::Appends(appended) => Some(past.batch(*appended, &segment, at)),
        Verdict::Repeat | Verdict::Refused(_) => None,
    })
}

/// Looks up what is stored of a log, from a thread that may wait.
struct StoredPast {
    handle: Handle,
    store: Arc<dyn Store>,
    objects: Objects,
    log: StoredLog,
}

impl StoredPast {
    fn judge(&mut self, first: u64, bytes: &[u8]) -> Result<Verdict, DeviceAuditError> {
        let StoredLog { id, key_spki, state, position, .. } = self.log.clone();
        let (key, origin) = (AuditKey::from_spki_der(&key_spki)?, id.origin());
        let subject = Subject { origin: &origin, key: &key, state, position: &position };
        judge(&subject, first, bytes, self)
    }

    fn batch(self, appended: Appended, segment: &[u8], at: OffsetDateTime) -> NewBatch {
        let StoredLog { id, device_id, position, .. } = self.log;
        NewBatch {
            log: id,
            device_id,
            first: position.size(),
            after: position.head,
            records: appended.records,
            position: appended.position,
            content: appended.content,
            bytes: segment.len() as u64,
            sha256: Digest(sha256(&[segment])),
            at,
        }
    }
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
