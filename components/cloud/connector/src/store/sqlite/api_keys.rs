//! API keys of the management API.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use time::OffsetDateTime;

use super::columns;
use crate::access::ApiKey;
use crate::store::StoreError;

fn from_row(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: row.get("id")?,
        name: row.get("name")?,
        role: columns::text(row, "role")?,
        secret_sha256: columns::digest(row, "secret_sha256")?,
        created_at: columns::time(row, "created_at")?,
        created_by: row.get("created_by")?,
        revoked_at: columns::optional_time(row, "revoked_at")?,
    })
}

pub(super) fn insert(db: &Connection, key: &ApiKey) -> Result<(), StoreError> {
    let taken: bool = db.query_row(
        "SELECT EXISTS (SELECT 1 FROM api_keys WHERE name = ?1 AND revoked_at IS NULL)",
        [&key.name],
        |row| row.get(0),
    )?;
    if taken {
        return Err(StoreError::Conflict {
            code: "name-taken",
            detail: format!("there is an API key named \"{}\" already", key.name),
        });
    }
    db.execute(
        "INSERT INTO api_keys (id, name, role, secret_sha256, created_at, created_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            key.id,
            key.name,
            key.role.as_str(),
            key.secret_sha256.0,
            key.created_at.unix_timestamp(),
            key.created_by,
        ],
    )?;
    Ok(())
}

pub(super) fn find(db: &Connection, id: &str) -> Result<Option<ApiKey>, StoreError> {
    Ok(db
        .prepare_cached("SELECT * FROM api_keys WHERE id = ?1")?
        .query_row([id], from_row)
        .optional()?)
}

pub(super) fn list(db: &Connection) -> Result<Vec<ApiKey>, StoreError> {
    let keys = db
        .prepare_cached("SELECT * FROM api_keys ORDER BY created_at DESC, rowid DESC")?
        .query_map([], from_row)?
        .collect::<Result<_, _>>()?;
    Ok(keys)
}

pub(super) fn revoke(db: &Connection, id: &str, at: OffsetDateTime) -> Result<ApiKey, StoreError> {
    db.execute(
        "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, ?2) WHERE id = ?1",
        params![id, at.unix_timestamp()],
    )?;
    find(db, id)?.ok_or_else(|| StoreError::NotFound(format!("API key {id}")))
}
