//! Site configurations that devices may have booted with.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::columns;
use crate::registry::{Digest, Tenant};
use crate::sites::Site;
use crate::store::StoreError;

fn from_row(row: &Row<'_>) -> rusqlite::Result<Site> {
    Ok(Site {
        sha256: columns::digest(row, "sha256")?,
        tenant: columns::text(row, "tenant")?,
        document: row.get("document")?,
        signature: row.get("signature")?,
        added_at: columns::time(row, "added_at")?,
        added_by: row.get("added_by")?,
    })
}

/// Whether it is new.
pub(super) fn insert(db: &Connection, site: &Site) -> Result<bool, StoreError> {
    let inserted = db.execute(
        "INSERT INTO sites (sha256, tenant, document, signature, added_at, added_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (sha256) DO NOTHING",
        params![
            site.sha256.0,
            site.tenant.as_str(),
            site.document,
            site.signature,
            site.added_at.unix_timestamp(),
            site.added_by,
        ],
    )?;
    Ok(inserted == 1)
}

pub(super) fn find(db: &Connection, sha256: Digest) -> Result<Site, StoreError> {
    db.query_row("SELECT * FROM sites WHERE sha256 = ?1", [sha256.0], from_row)
        .optional()?
        .ok_or_else(|| StoreError::NotFound(format!("site with sha256 {sha256}")))
}

pub(super) fn list(db: &Connection, tenant: Option<&Tenant>) -> Result<Vec<Site>, StoreError> {
    let sites = db
        .prepare_cached(
            "SELECT * FROM sites WHERE ?1 IS NULL OR tenant = ?1
             ORDER BY added_at DESC, rowid DESC",
        )?
        .query_map([tenant.map(Tenant::as_str)], from_row)?
        .collect::<Result<_, _>>()?;
    Ok(sites)
}
