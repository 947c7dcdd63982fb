//! Events. They are kept in bounds, so that a stranger's refusals cannot fill the disk.

use rusqlite::{Connection, Row, named_params, params};

use super::{alerts, columns};
use crate::registry::{Event, NewEvent};
use crate::store::{EventFilter, StoreError};

/// Events kept per device of the registry.
const KEPT_PER_DEVICE: i64 = 500;
/// Events kept of devices that the registry does not know.
const KEPT_OF_STRANGERS: i64 = 10_000;

fn from_row(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event { id: row.get("id")?, event: columns::json(row, "event")? })
}

pub(super) fn insert(db: &Connection, event: &NewEvent) -> Result<i64, StoreError> {
    let device_id = event.device_id.map(|id| id.to_string());
    db.execute(
        "INSERT INTO events (at, severity, device_id, edge_id, request_id, event)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            event.at.unix_timestamp(),
            event.severity as i64,
            device_id,
            event.edge_id,
            event.request_id,
            columns::to_json(event)?,
        ],
    )?;
    let id = db.last_insert_rowid();
    alerts::note(db, event)?;
    let kept = if device_id.is_some() { KEPT_PER_DEVICE } else { KEPT_OF_STRANGERS };
    db.prepare_cached(
        "DELETE FROM events WHERE device_id IS ?1 AND id <= (
             SELECT id FROM events WHERE device_id IS ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![device_id, kept])?;
    Ok(id)
}

pub(super) fn list(db: &Connection, filter: &EventFilter) -> Result<Vec<Event>, StoreError> {
    let events = db
        .prepare_cached(
            "SELECT * FROM events
             WHERE (:device IS NULL OR device_id = :device)
               AND (:edge_id IS NULL OR edge_id = :edge_id)
               AND (:request IS NULL OR request_id = :request)
               AND (:severity IS NULL OR severity >= :severity)
               AND (:before IS NULL OR id < :before)
             ORDER BY id DESC LIMIT :limit",
        )?
        .query_map(
            named_params! {
                ":device": filter.device_id.map(|id| id.to_string()),
                ":edge_id": filter.edge_id,
                ":request": filter.request_id,
                ":severity": filter.severity.map(|severity| severity as i64),
                ":before": filter.before,
                ":limit": filter.limit,
            },
            from_row,
        )?
        .collect::<Result<_, _>>()?;
    Ok(events)
}
