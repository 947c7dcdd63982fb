//! For whom devices may have tokens.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::columns;
use crate::registry::Tenant;
use crate::store::StoreError;
use crate::tokens::{Audience, AudienceRecord};

fn from_row(row: &Row<'_>) -> rusqlite::Result<AudienceRecord> {
    Ok(AudienceRecord {
        tenant: columns::text(row, "tenant")?,
        audience: columns::text(row, "audience")?,
        scopes: columns::json(row, "scopes")?,
        added_at: columns::time(row, "added_at")?,
        added_by: row.get("added_by")?,
    })
}

pub(super) fn put(db: &Connection, record: &AudienceRecord) -> Result<(), StoreError> {
    db.execute(
        "INSERT OR REPLACE INTO token_audiences (tenant, audience, scopes, added_at, added_by)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            record.tenant.as_str(),
            record.audience.as_str(),
            columns::to_json(&record.scopes)?,
            record.added_at.unix_timestamp(),
            record.added_by,
        ],
    )?;
    Ok(())
}

pub(super) fn find(
    db: &Connection,
    tenant: &Tenant,
    audience: &Audience,
) -> Result<Option<AudienceRecord>, StoreError> {
    Ok(db
        .prepare_cached("SELECT * FROM token_audiences WHERE tenant = ?1 AND audience = ?2")?
        .query_row([tenant.as_str(), audience.as_str()], from_row)
        .optional()?)
}

pub(super) fn list(
    db: &Connection,
    tenant: Option<&Tenant>,
) -> Result<Vec<AudienceRecord>, StoreError> {
    let audiences = db
        .prepare_cached(
            "SELECT * FROM token_audiences WHERE ?1 IS NULL OR tenant = ?1
             ORDER BY tenant, audience",
        )?
        .query_map([tenant.map(Tenant::as_str)], from_row)?
        .collect::<Result<_, _>>()?;
    Ok(audiences)
}

pub(super) fn remove(
    db: &Connection,
    tenant: &Tenant,
    audience: &Audience,
) -> Result<AudienceRecord, StoreError> {
    let removed = find(db, tenant, audience)?.ok_or_else(|| {
        StoreError::NotFound(format!("audience \"{audience}\" of tenant {tenant}"))
    })?;
    db.execute(
        "DELETE FROM token_audiences WHERE tenant = ?1 AND audience = ?2",
        [tenant.as_str(), audience.as_str()],
    )?;
    Ok(removed)
}
