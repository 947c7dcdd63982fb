//! What registrations gave out once.

use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use crate::registry::{Digest, RegistrationSecret};
use crate::store::StoreError;

const PAIRING_CODE: &str = "pairing_code";
const ENROLMENT_SECRET: &str = "enrolment_secret_sha256";

pub(super) fn insert(
    db: &Connection,
    device: Uuid,
    secret: &RegistrationSecret,
) -> Result<(), StoreError> {
    let (kind, value) = match secret {
        RegistrationSecret::PairingCode(code) => (PAIRING_CODE, code.as_slice()),
        RegistrationSecret::EnrolmentSecret(sha256) => (ENROLMENT_SECRET, sha256.0.as_slice()),
    };
    db.execute(
        "INSERT INTO registration_secrets (device_id, kind, value) VALUES (?1, ?2, ?3)",
        params![device.to_string(), kind, value],
    )?;
    Ok(())
}

pub(super) fn find(
    db: &Connection,
    device: Uuid,
) -> Result<Option<RegistrationSecret>, StoreError> {
    let row: Option<(String, Vec<u8>)> = db
        .prepare_cached("SELECT kind, value FROM registration_secrets WHERE device_id = ?1")?
        .query_row([device.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    row.map(|(kind, value)| read(&kind, &value)).transpose()
}

fn read(kind: &str, value: &[u8]) -> Result<RegistrationSecret, StoreError> {
    let secret = match kind {
        PAIRING_CODE => value.try_into().ok().map(RegistrationSecret::PairingCode),
        ENROLMENT_SECRET => {
            value.try_into().ok().map(|bytes| RegistrationSecret::EnrolmentSecret(Digest(bytes)))
        }
        _ => None,
    };
    secret.ok_or_else(|| StoreError::Database(format!("a registration's {kind} is damaged")))
}

pub(super) fn delete(db: &Connection, device: Uuid) -> Result<(), StoreError> {
    db.execute("DELETE FROM registration_secrets WHERE device_id = ?1", [device.to_string()])?;
    Ok(())
}
