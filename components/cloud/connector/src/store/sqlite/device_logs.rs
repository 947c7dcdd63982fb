//! Audit logs of devices: where each stands, and what its batches are about.

use std::collections::BTreeSet;

use holdfast_audit_log::Hash;
use holdfast_audit_log::checkpoint::{BootBinding, TpmClock};
use holdfast_audit_log::tree::Frontier;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{columns, usb_devices};
use crate::device_audit::{
    BatchPage, BatchQuery, LogId, LogState, NewBatch, NewLog, Position, StoredBatch, StoredLog,
};
use crate::store::StoreError;

/// Batches that one query looks at, whether they fit or not.
const LOOKED_AT: u32 = 10_000;

/// A start of a device as it is stored.
#[derive(Serialize, Deserialize)]
struct Boot {
    clock_ms: u64,
    reset_count: u32,
    restart_count: u32,
    is_safe: bool,
    nv_counter: u64,
}

impl From<BootBinding> for Boot {
    fn from(boot: BootBinding) -> Self {
        let TpmClock { clock_ms, reset_count, restart_count, is_safe } = boot.clock;
        Self { clock_ms, reset_count, restart_count, is_safe, nv_counter: boot.nv_counter }
    }
}

impl From<Boot> for BootBinding {
    fn from(boot: Boot) -> Self {
        let Boot { clock_ms, reset_count, restart_count, is_safe, nv_counter } = boot;
        Self { clock: TpmClock { clock_ms, reset_count, restart_count, is_safe }, nv_counter }
    }
}

fn optional_json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: &str,
) -> rusqlite::Result<Option<T>> {
    let is_null = row.get::<_, Option<String>>(column)?.is_none();
    if is_null { Ok(None) } else { columns::json(row, column).map(Some) }
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error))
}

/// SQLite's integers have a sign; a log never gets that long, and a clock that says so is wrong.
fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn log_from_row(row: &Row<'_>) -> rusqlite::Result<StoredLog> {
    let size: u64 = row.get("size")?;
    let frontier: Vec<u8> = row.get("frontier")?;
    Ok(StoredLog {
        id: columns::text(row, "id")?,
        device_id: columns::text(row, "device_id")?,
        key_spki: row.get("key_spki")?,
        state: columns::text(row, "state")?,
        position: Position {
            head: Hash::new(row.get("head")?),
            frontier: Frontier::from_bytes(size, &frontier).map_err(unusable)?,
            boot: optional_json::<Boot>(row, "boot")?.map(Into::into),
            checkpoint: row.get("checkpoint")?,
        },
        previous: optional_json(row, "previous")?,
        registered_at: columns::time(row, "registered_at")?,
        uploaded_at: columns::optional_time(row, "uploaded_at")?,
    })
}

fn batch_from_row(row: &Row<'_>) -> rusqlite::Result<StoredBatch> {
    Ok(StoredBatch {
        id: row.get("id")?,
        log: columns::text(row, "log")?,
        device_id: columns::text(row, "device_id")?,
        first: row.get("first")?,
        records: row.get("records")?,
        bytes: row.get("bytes")?,
        sha256: columns::digest(row, "sha256")?,
    })
}

/// Registers a log and closes the one before it; gives that one's id. A log that is there already
/// is nobody else's to register.
pub(super) fn insert(db: &Connection, log: &NewLog) -> Result<Option<LogId>, StoreError> {
    let device = log.device_id.to_string();
    let position = Position::start(&log.id.origin());
    let open: Option<String> = db
        .query_row(
            "UPDATE device_logs SET state = 'closed' WHERE device_id = ?1 AND state = 'open'
             RETURNING id",
            [&device],
            |row| row.get(0),
        )
        .optional()?;
    let inserted = db.execute(
        "INSERT INTO device_logs
             (id, device_id, key_spki, state, size, head, frontier, previous, registered_at)
         VALUES (?1, ?2, ?3, 'open', 0, ?4, x'', ?5, ?6) ON CONFLICT (id) DO NOTHING",
        params![
            log.id.as_str(),
            device,
            log.key_spki,
            position.head.as_bytes(),
            log.previous.as_ref().map(columns::to_json).transpose()?,
            log.at.unix_timestamp(),
        ],
    )?;
    if inserted == 0 {
        return Err(StoreError::Conflict {
            code: "audit-log-registered",
            detail: format!("log {} is registered already", log.id),
        });
    }
    open.map(|id| id.parse().map_err(|e| StoreError::Database(format!("{e}")))).transpose()
}

pub(super) fn find(db: &Connection, id: &LogId) -> Result<Option<StoredLog>, StoreError> {
    Ok(db
        .prepare_cached("SELECT * FROM device_logs WHERE id = ?1")?
        .query_row([id.as_str()], log_from_row)
        .optional()?)
}

/// Logs of a device, newest first.
pub(super) fn of_device(db: &Connection, device: Uuid) -> Result<Vec<StoredLog>, StoreError> {
    let logs = db
        .prepare_cached(
            "SELECT * FROM device_logs WHERE device_id = ?1 ORDER BY registered_at DESC, rowid DESC",
        )?
        .query_map([device.to_string()], log_from_row)?
        .collect::<Result<_, _>>()?;
    Ok(logs)
}

/// Every log with its size.
pub(super) fn sizes(db: &Connection) -> Result<Vec<(LogId, u64)>, StoreError> {
    let sizes = db
        .prepare("SELECT id, size FROM device_logs")?
        .query_map([], |row| Ok((columns::text(row, "id")?, row.get("size")?)))?
        .collect::<Result<_, _>>()?;
    Ok(sizes)
}

/// Makes a batch part of its log, if that stands where it did when the batch was judged.
pub(super) fn append(db: &Connection, batch: &NewBatch) -> Result<(), StoreError> {
    let NewBatch { position, content, .. } = batch;
    let moved = db
        .prepare_cached(
            "UPDATE device_logs SET size = :size, head = :head, frontier = :frontier,
                 boot = :boot, checkpoint = :checkpoint, uploaded_at = :at
             WHERE id = :id AND size = :first AND head = :after AND state = 'open'",
        )?
        .execute(named_params! {
            ":id": batch.log.as_str(),
            ":first": clamped(batch.first),
            ":after": batch.after.as_bytes(),
            ":size": clamped(position.size()),
            ":head": position.head.as_bytes(),
            ":frontier": position.frontier.to_bytes(),
            ":boot": position.boot.map(|boot| columns::to_json(&Boot::from(boot))).transpose()?,
            ":checkpoint": position.checkpoint.map(clamped),
            ":at": batch.at.unix_timestamp(),
        })?;
    if moved == 0 {
        return Err(StoreError::Conflict {
            code: "audit-log-changed",
            detail: format!("log {} changed meanwhile; ask for its head", batch.log),
        });
    }
    db.prepare_cached(
        "INSERT INTO device_log_batches (log, device_id, first, records, bytes, sha256, earliest,
             latest, classes, kinds, users_known)
         VALUES (:log, :device, :first, :records, :bytes, :sha256, :earliest, :latest, :classes,
             :kinds, :users_known)",
    )?
    .execute(named_params! {
        ":log": batch.log.as_str(),
        ":device": batch.device_id.to_string(),
        ":first": clamped(batch.first),
        ":records": clamped(batch.records),
        ":bytes": clamped(batch.bytes),
        ":sha256": batch.sha256.0,
        ":earliest": clamped(content.earliest_ns),
        ":latest": clamped(content.latest_ns),
        ":classes": content.classes,
        ":kinds": content.kinds,
        ":users_known": content.users.is_some(),
    })?;
    let id = db.last_insert_rowid();
    let none = BTreeSet::new();
    let mut insert =
        db.prepare_cached("INSERT INTO device_log_users (batch, uid) VALUES (?1, ?2)")?;
    for uid in content.users.as_ref().unwrap_or(&none) {
        insert.execute(params![id, uid])?;
    }
    usb_devices::change(db, batch.device_id, &content.usb)
}

/// Lets a log grow no more; false if it was forked already.
pub(super) fn fork(db: &Connection, id: &LogId) -> Result<bool, StoreError> {
    let changed = db.execute(
        "UPDATE device_logs SET state = ?2 WHERE id = ?1 AND state <> ?2",
        params![id.as_str(), LogState::Forked.as_str()],
    )?;
    Ok(changed == 1)
}

/// The device has another TPM from now on, and no key of the old one.
pub(super) fn close(db: &Connection, device: Uuid) -> Result<(), StoreError> {
    db.execute(
        "UPDATE device_logs SET state = 'closed' WHERE device_id = ?1 AND state = 'open'",
        [device.to_string()],
    )?;
    Ok(())
}

/// The batch that has this record.
pub(super) fn batch_of(
    db: &Connection,
    log: &LogId,
    sequence: u64,
) -> Result<Option<StoredBatch>, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT * FROM device_log_batches WHERE log = ?1 AND first <= ?2 AND first + records > ?2
             ORDER BY first DESC LIMIT 1",
        )?
        .query_row(params![log.as_str(), clamped(sequence)], batch_from_row)
        .optional()?)
}

/// Batches of a log in order, from the one that begins with this record.
pub(super) fn batches(
    db: &Connection,
    log: &LogId,
    first: u64,
    limit: u32,
) -> Result<Vec<StoredBatch>, StoreError> {
    let batches = db
        .prepare_cached(
            "SELECT * FROM device_log_batches WHERE log = ?1 AND first >= ?2
             ORDER BY first LIMIT ?3",
        )?
        .query_map(params![log.as_str(), clamped(first), limit], batch_from_row)?
        .collect::<Result<_, _>>()?;
    Ok(batches)
}

/// The outer query looks at what the inner one took from an index and at no more, however little
/// of it fits.
const SEARCH: &str = "
    SELECT * FROM (
        SELECT * FROM device_log_batches
        WHERE (:device IS NULL OR device_id = :device) AND (:up_to IS NULL OR id <= :up_to)
        ORDER BY id DESC LIMIT :looked_at)
    WHERE (:classes IS NULL OR classes & :classes <> 0)
      AND (:kinds IS NULL OR kinds & :kinds <> 0)
      AND (:from IS NULL OR latest >= :from) AND (:to IS NULL OR earliest <= :to)
      AND (:user IS NULL OR users_known = 0
           OR EXISTS (SELECT 1 FROM device_log_users WHERE batch = id AND uid = :user))
    ORDER BY id DESC LIMIT :limit";
const SEARCH_END: &str = "
    SELECT id FROM device_log_batches
    WHERE (:device IS NULL OR device_id = :device) AND (:up_to IS NULL OR id <= :up_to)
    ORDER BY id DESC LIMIT 1 OFFSET :looked_at";

pub(super) fn search(db: &Connection, query: &BatchQuery) -> Result<BatchPage, StoreError> {
    let device = query.device_id.map(|id| id.to_string());
    let batches: Vec<StoredBatch> = db
        .prepare_cached(SEARCH)?
        .query_map(
            named_params! {
                ":device": device,
                ":up_to": query.up_to,
                ":looked_at": LOOKED_AT,
                ":classes": query.classes,
                ":kinds": query.kinds,
                ":from": query.from_ns.map(clamped),
                ":to": query.to_ns.map(clamped),
                ":user": query.user,
                ":limit": query.limit,
            },
            batch_from_row,
        )?
        .collect::<Result<_, _>>()?;
    let is_full = batches.len() == usize::try_from(query.limit).unwrap_or(usize::MAX);
    let rest = match batches.last() {
        Some(last) if is_full => Some(last.id - 1),
        _ => db
            .prepare_cached(SEARCH_END)?
            .query_row(
                named_params! {
                    ":device": device,
                    ":up_to": query.up_to,
                    ":looked_at": LOOKED_AT,
                },
                |row| row.get(0),
            )
            .optional()?,
    };
    Ok(BatchPage { batches, rest })
}
