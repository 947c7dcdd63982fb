//! Issued certificates.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{columns, devices};
use crate::ca::{CaId, Serial};
use crate::registry::{CertificateRecord, Device, RevocationReason};
use crate::store::StoreError;

fn from_row(row: &Row<'_>) -> rusqlite::Result<CertificateRecord> {
    Ok(CertificateRecord {
        serial: columns::text(row, "serial")?,
        device_id: columns::text(row, "device_id")?,
        spki_sha256: columns::digest(row, "spki_sha256")?,
        not_before: columns::time(row, "not_before")?,
        not_after: columns::time(row, "not_after")?,
        attested: row.get("attested")?,
        accepted_until: columns::optional_time(row, "accepted_until")?,
        revoked_at: columns::optional_time(row, "revoked_at")?,
    })
}

/// Adds a certificate; those before it are accepted until `overlap_ends` at most.
pub(super) fn insert(
    db: &Connection,
    new: &CertificateRecord,
    der: &[u8],
    overlap_ends: OffsetDateTime,
) -> Result<(), StoreError> {
    db.execute(
        "UPDATE certificates SET accepted_until = min(COALESCE(accepted_until, ?2), ?2)
         WHERE device_id = ?1",
        params![new.device_id.to_string(), overlap_ends.unix_timestamp()],
    )?;
    db.execute(
        "INSERT INTO certificates
             (serial, device_id, issuer, spki_sha256, not_before, not_after, attested, der)
         VALUES (:serial, :device_id, :issuer, :spki, :not_before, :not_after, :attested, :der)",
        named_params! {
            ":serial": new.serial.as_str(),
            ":device_id": new.device_id.to_string(),
            ":issuer": CaId::of_issuer(der).as_ref().map(CaId::as_str),
            ":spki": new.spki_sha256.0,
            ":not_before": new.not_before.unix_timestamp(),
            ":not_after": new.not_after.unix_timestamp(),
            ":attested": new.attested,
            ":der": der,
        },
    )?;
    Ok(())
}

pub(super) fn session(
    db: &Connection,
    serial: &Serial,
) -> Result<Option<(CertificateRecord, Device)>, StoreError> {
    let certificate = db
        .prepare_cached("SELECT * FROM certificates WHERE serial = ?1")?
        .query_row([serial.as_str()], from_row)
        .optional()?;
    certificate
        .map(|certificate| {
            let device = devices::get(db, certificate.device_id)?;
            Ok((certificate, device))
        })
        .transpose()
}

pub(super) fn list(db: &Connection, device: Uuid) -> Result<Vec<CertificateRecord>, StoreError> {
    let certificates = db
        .prepare_cached(
            "SELECT * FROM certificates WHERE device_id = ?1 ORDER BY not_before DESC, rowid DESC",
        )?
        .query_map([device.to_string()], from_row)?
        .collect::<Result<_, _>>()?;
    Ok(certificates)
}

pub(super) fn revoke_all(
    db: &Connection,
    device: Uuid,
    at: OffsetDateTime,
    reason: RevocationReason,
) -> Result<(), StoreError> {
    db.execute(
        "UPDATE certificates SET revoked_at = ?2, revocation_reason = ?3
         WHERE device_id = ?1 AND revoked_at IS NULL",
        params![device.to_string(), at.unix_timestamp(), reason.as_str()],
    )?;
    Ok(())
}
