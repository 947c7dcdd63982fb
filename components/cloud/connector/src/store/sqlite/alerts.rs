//! Alerts. Open ones are as many as there are subjects and reasons; of the others so many are kept.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::columns;
use crate::registry::{Alert, NewEvent, Severity};
use crate::store::{Acknowledgement, AlertFilter, StoreError};

/// Acknowledged alerts that are kept.
const KEPT: i64 = 10_000;
/// Open alerts about Edge IDs that the registry does not know: a stranger must not fill the disk.
const OPEN_OF_STRANGERS: i64 = 10_000;

fn from_row(row: &Row<'_>) -> rusqlite::Result<Alert> {
    Ok(Alert {
        id: row.get("id")?,
        first_at: columns::time(row, "first_at")?,
        last_at: columns::time(row, "last_at")?,
        count: row.get("count")?,
        event: columns::json(row, "event")?,
        acknowledged_at: columns::optional_time(row, "acknowledged_at")?,
        acknowledged_by: row.get("acknowledged_by")?,
    })
}

/// Takes an event into account.
pub(super) fn note(db: &Connection, event: &NewEvent) -> Result<(), StoreError> {
    if event.severity < Severity::Alert {
        return Ok(());
    }
    let code = event.code.as_deref().unwrap_or(&event.kind);
    let device = event.device_id.map(|id| id.to_string());
    let is_stranger = device.is_none();
    let subject = device.or_else(|| event.edge_id.clone()).unwrap_or_default();
    db.prepare_cached(
        "INSERT INTO alerts (subject, code, first_at, last_at, count, event)
         VALUES (:subject, :code, :at, :at, 1, :event)
         ON CONFLICT (subject, code) WHERE acknowledged_at IS NULL
         DO UPDATE SET last_at = :at, count = count + 1, event = :event",
    )?
    .execute(named_params! {
        ":subject": subject,
        ":code": code,
        ":at": event.at.unix_timestamp(),
        ":event": columns::to_json(event)?,
    })?;
    if is_stranger {
        db.prepare_cached(
            "DELETE FROM alerts WHERE id <= (
                 SELECT id FROM alerts
                 WHERE acknowledged_at IS NULL AND event ->> 'device_id' IS NULL
                 ORDER BY id DESC LIMIT 1 OFFSET ?1)
               AND acknowledged_at IS NULL AND event ->> 'device_id' IS NULL",
        )?
        .execute([OPEN_OF_STRANGERS])?;
    }
    Ok(())
}

pub(super) fn list(db: &Connection, filter: &AlertFilter) -> Result<Vec<Alert>, StoreError> {
    let alerts = db
        .prepare_cached(
            "SELECT * FROM alerts
             WHERE (:all OR acknowledged_at IS NULL) AND (:before IS NULL OR id < :before)
             ORDER BY id DESC LIMIT :limit",
        )?
        .query_map(
            named_params! {
                ":all": filter.acknowledged_too,
                ":before": filter.before,
                ":limit": filter.limit,
            },
            from_row,
        )?
        .collect::<Result<_, _>>()?;
    Ok(alerts)
}

pub(super) fn acknowledge(
    db: &Connection,
    id: i64,
    by: &Acknowledgement,
) -> Result<Alert, StoreError> {
    let alert = get(db, id)?;
    if let (Some(at), Some(who)) = (alert.acknowledged_at, &alert.acknowledged_by) {
        return Err(StoreError::Conflict {
            code: "acknowledged-already",
            detail: format!("alert {id} was acknowledged by {who} at {at}"),
        });
    }
    db.execute(
        "UPDATE alerts SET acknowledged_at = ?2, acknowledged_by = ?3 WHERE id = ?1",
        params![id, by.at.unix_timestamp(), by.name],
    )?;
    db.execute(
        "DELETE FROM alerts WHERE acknowledged_at IS NOT NULL AND id <= (
             SELECT id FROM alerts WHERE acknowledged_at IS NOT NULL
             ORDER BY id DESC LIMIT 1 OFFSET ?1)",
        [KEPT],
    )?;
    get(db, id)
}

fn get(db: &Connection, id: i64) -> Result<Alert, StoreError> {
    db.query_row("SELECT * FROM alerts WHERE id = ?1", [id], from_row)
        .optional()?
        .ok_or_else(|| StoreError::NotFound(format!("alert {id}")))
}
