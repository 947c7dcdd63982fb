//! Audit records: only ever added.

use rusqlite::{Connection, Row, named_params, params};

use super::columns;
use crate::registry::Tenant;
use crate::store::{AuditEntry, AuditFilter, StoreError, StoredAuditRecord};

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredAuditRecord> {
    Ok(StoredAuditRecord {
        id: row.get("id")?,
        tenant: columns::optional_text(row, "tenant")?,
        device_id: columns::optional_text(row, "device_id")?,
        record: columns::json(row, "record")?,
    })
}

pub(super) fn insert(db: &Connection, entry: &AuditEntry) -> Result<(), StoreError> {
    db.prepare_cached("INSERT INTO audit (at, tenant, device_id, record) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            entry.record.time().unix_timestamp(),
            entry.tenant.as_ref().map(Tenant::as_str),
            entry.device_id.map(|id| id.to_string()),
            columns::to_json(&entry.record)?,
        ])?;
    Ok(())
}

pub(super) fn list(
    db: &Connection,
    filter: &AuditFilter,
) -> Result<Vec<StoredAuditRecord>, StoreError> {
    let records = db
        .prepare_cached(
            "SELECT * FROM audit
             WHERE (:device IS NULL OR device_id = :device) AND (:before IS NULL OR id < :before)
             ORDER BY id DESC LIMIT :limit",
        )?
        .query_map(
            named_params! {
                ":device": filter.device_id.map(|id| id.to_string()),
                ":before": filter.before,
                ":limit": filter.limit,
            },
            from_row,
        )?
        .collect::<Result<_, _>>()?;
    Ok(records)
}
