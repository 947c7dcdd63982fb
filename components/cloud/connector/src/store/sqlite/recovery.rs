//! Recovery keys: per device the set that it handed over last.

use holdfast_recovery::Occasion;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::columns;
use crate::recovery::{NewRecoveryKey, RecoveryKeySummary, StoredRecoveryKey};
use crate::registry::Digest;
use crate::store::StoreError;

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredRecoveryKey> {
    let occasion: String = row.get("occasion")?;
    let occasion = [Occasion::First, Occasion::NewOperator, Occasion::Recovery]
        .into_iter()
        .find(|known| known.as_str() == occasion)
        .ok_or_else(|| {
            let unknown = StoreError::Database(format!("occasion {occasion:?}"));
            rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(unknown))
        })?;
    Ok(StoredRecoveryKey {
        summary: RecoveryKeySummary {
            device_id: columns::text(row, "device_id")?,
            edge_id: row.get("edge_id")?,
            tenant: columns::text(row, "tenant")?,
            sha256: columns::digest(row, "sha256")?,
            luks_uuid: row.get("luks_uuid")?,
            keyslot: row.get("keyslot")?,
            created_at: columns::time(row, "created_at")?,
            occasion,
            recipient_sha256: columns::digest(row, "recipient_sha256")?,
            stored_at: columns::time(row, "stored_at")?,
        },
        message: row.get("message")?,
    })
}

/// Puts a set in place of the one before. Whether that changed anything.
pub(super) fn replace(
    db: &Connection,
    device_id: Uuid,
    keys: &[NewRecoveryKey],
    at: OffsetDateTime,
) -> Result<bool, StoreError> {
    let device = device_id.to_string();
    let held: Vec<Digest> = db
        .prepare_cached("SELECT sha256 FROM recovery_keys WHERE device_id = ?1")?
        .query_map([&device], |row| columns::digest(row, "sha256"))?
        .collect::<Result<_, _>>()?;
    let wanted: Vec<Digest> = keys.iter().map(|key| Digest(key.wrapped.sha256())).collect();
    let mut changed = false;
    for digest in held.iter().filter(|digest| !wanted.contains(digest)) {
        db.execute(
            "DELETE FROM recovery_keys WHERE device_id = ?1 AND sha256 = ?2",
            params![device, digest.0],
        )?;
        changed = true;
    }
    for (key, digest) in keys.iter().zip(&wanted) {
        let wrapped = &key.wrapped;
        let inserted = db.execute(
            "INSERT INTO recovery_keys (device_id, sha256, luks_uuid, keyslot, created_at,
                 occasion, recipient_sha256, message, stored_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (device_id, sha256) DO NOTHING",
            params![
                device,
                digest.0,
                wrapped.luks_uuid,
                wrapped.keyslot,
                wrapped.created.unix_timestamp(),
                wrapped.occasion.as_str(),
                key.recipient_sha256.0,
                wrapped.message,
                at.unix_timestamp(),
            ],
        )?;
        changed |= inserted == 1;
    }
    Ok(changed)
}

/// Keys of one device or of all, newest first.
pub(super) fn list(
    db: &Connection,
    device_id: Option<Uuid>,
) -> Result<Vec<StoredRecoveryKey>, StoreError> {
    let keys = db
        .prepare_cached(
            "SELECT recovery_keys.*, devices.edge_id, devices.tenant FROM recovery_keys
             JOIN devices ON devices.id = recovery_keys.device_id
             WHERE ?1 IS NULL OR device_id = ?1 ORDER BY recovery_keys.id DESC",
        )?
        .query_map([device_id.map(|id| id.to_string())], from_row)?
        .collect::<Result<_, _>>()?;
    Ok(keys)
}
