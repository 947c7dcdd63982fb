//! What devices say of their boots: of each device the last report.

use rusqlite::{Connection, OptionalExtension as _, params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::columns;
use crate::registry::{BootReport, StoredBootReport};
use crate::store::StoreError;

pub(super) fn find(db: &Connection, device: Uuid) -> Result<Option<StoredBootReport>, StoreError> {
    Ok(db
        .prepare_cached("SELECT report, received_at FROM boot_reports WHERE device_id = ?1")?
        .query_row([device.to_string()], |row| {
            Ok(StoredBootReport {
                report: columns::json(row, "report")?,
                received_at: columns::time(row, "received_at")?,
            })
        })
        .optional()?)
}

pub(super) fn put(
    db: &Connection,
    device: Uuid,
    report: &BootReport,
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO boot_reports (device_id, report, received_at) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![device.to_string(), columns::to_json(report)?, at.unix_timestamp()])?;
    Ok(())
}

pub(super) fn delete(db: &Connection, device: Uuid) -> Result<(), StoreError> {
    db.execute("DELETE FROM boot_reports WHERE device_id = ?1", [device.to_string()])?;
    Ok(())
}
