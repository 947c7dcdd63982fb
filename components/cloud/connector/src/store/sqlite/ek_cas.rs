//! CAs of TPM makers.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::columns;
use crate::ek_cas::EkCa;
use crate::registry::{Digest, Tenant};
use crate::store::StoreError;

fn from_row(row: &Row<'_>) -> rusqlite::Result<EkCa> {
    Ok(EkCa {
        tenant: columns::text(row, "tenant")?,
        sha256: columns::digest(row, "sha256")?,
        subject: row.get("subject")?,
        der: row.get("der")?,
        added_at: columns::time(row, "added_at")?,
        added_by: row.get("added_by")?,
    })
}

/// How many are new.
pub(super) fn insert(db: &Connection, cas: &[EkCa]) -> Result<usize, StoreError> {
    let mut statement = db.prepare_cached(
        "INSERT INTO ek_cas (tenant, sha256, subject, der, added_at, added_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    )?;
    let mut added = 0;
    for ca in cas {
        added += statement.execute(params![
            ca.tenant.as_str(),
            ca.sha256.0,
            ca.subject,
            ca.der,
            ca.added_at.unix_timestamp(),
            ca.added_by,
        ])?;
    }
    Ok(added)
}

pub(super) fn list(db: &Connection, tenant: Option<&Tenant>) -> Result<Vec<EkCa>, StoreError> {
    let cas = db
        .prepare_cached(
            "SELECT * FROM ek_cas WHERE ?1 IS NULL OR tenant = ?1 ORDER BY tenant, subject, sha256",
        )?
        .query_map([tenant.map(Tenant::as_str)], from_row)?
        .collect::<Result<_, _>>()?;
    Ok(cas)
}

pub(super) fn remove(db: &Connection, tenant: &Tenant, sha256: Digest) -> Result<EkCa, StoreError> {
    db.query_row(
        "DELETE FROM ek_cas WHERE tenant = ?1 AND sha256 = ?2 RETURNING *",
        params![tenant.as_str(), sha256.0],
        from_row,
    )
    .optional()?
    .ok_or_else(|| StoreError::NotFound(format!("CA {sha256} of tenant {tenant}")))
}
