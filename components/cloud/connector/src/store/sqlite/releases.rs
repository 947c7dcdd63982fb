//! Published releases.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use time::OffsetDateTime;

use super::columns;
use crate::registry::Digest;
use crate::releases::Release;
use crate::store::StoreError;

fn from_row(row: &Row<'_>) -> rusqlite::Result<Release> {
    Ok(Release {
        measurement: columns::json(row, "measurement")?,
        published_at: columns::time(row, "published_at")?,
        published_by: row.get("published_by")?,
        withdrawn_at: columns::optional_time(row, "withdrawn_at")?,
    })
}

pub(super) fn publish(db: &Connection, release: &Release) -> Result<Release, StoreError> {
    db.execute(
        "INSERT INTO releases (uki_sha256, measurement, published_at, published_by)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (uki_sha256) DO UPDATE SET measurement = excluded.measurement,
             published_at = excluded.published_at, published_by = excluded.published_by,
             withdrawn_at = NULL",
        params![
            release.measurement.uki_sha256,
            columns::to_json(&release.measurement)?,
            release.published_at.unix_timestamp(),
            release.published_by,
        ],
    )?;
    find(db, Digest(release.measurement.uki_sha256))
}

fn find(db: &Connection, uki_sha256: Digest) -> Result<Release, StoreError> {
    db.query_row("SELECT * FROM releases WHERE uki_sha256 = ?1", [uki_sha256.0], from_row)
        .optional()?
        .ok_or_else(|| StoreError::NotFound(format!("release with uki_sha256 {uki_sha256}")))
}

pub(super) fn list(db: &Connection) -> Result<Vec<Release>, StoreError> {
    let releases = db
        .prepare_cached("SELECT * FROM releases ORDER BY published_at DESC, rowid DESC")?
        .query_map([], from_row)?
        .collect::<Result<_, _>>()?;
    Ok(releases)
}

pub(super) fn withdraw(
    db: &Connection,
    uki_sha256: Digest,
    at: OffsetDateTime,
) -> Result<Release, StoreError> {
    db.execute(
        "UPDATE releases SET withdrawn_at = COALESCE(withdrawn_at, ?2) WHERE uki_sha256 = ?1",
        params![uki_sha256.0, at.unix_timestamp()],
    )?;
    find(db, uki_sha256)
}
