//! Enrolments: the evidence and what came of it.

use holdfast_attestation::refusal::Reason;
use rusqlite::{Connection, OptionalExtension as _, named_params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{certificates, columns, devices, registration_secrets};
use crate::ca::Serial;
use crate::registry::{Admission, Device, EnrolmentRecord, admit, in_force};
use crate::store::{Enrolment, StoreError};

/// Issued certificates become valid here: the claim is decided on once more, since the operator may
/// have suspended the device since.
pub(super) fn insert(db: &Connection, enrolment: &Enrolment) -> Result<Device, StoreError> {
    let candidates = devices::candidates(db, &enrolment.claim)?;
    let device = match admit(&enrolment.claim, &candidates, enrolment.record.at) {
        Ok(Admission::Enrol(device)) => device,
        Ok(Admission::Wait(device)) => {
            return Err(StoreError::Conflict {
                code: "approval-pending",
                detail: format!("device {} waits for approval", device.id),
            });
        }
        Err(denial) => return Err(StoreError::Denied(Box::new(denial))),
    };
    let record = &enrolment.record;
    if device.id != record.device_id {
        return Err(StoreError::Conflict {
            code: "registration-changed",
            detail: format!("the registration of {} changed meanwhile", device.edge_id),
        });
    }
    if let Some(serial) = &enrolment.renews {
        still_in_force(db, device, serial, record.at)?;
    }
    match enrolment.tpm {
        Some(tpm) => devices::bind(db, device, tpm)?,
        // An enrolment secret is good for one certificate.
        None => registration_secrets::delete(db, device.id)?,
    }
    let pcr7 = record.pcrs.iter().find(|(index, _)| *index == 7).map(|(_, value)| *value);
    if device.pcr7.is_some() && device.pcr7 != pcr7 && record.deviation.is_none() {
        return Err(StoreError::Conflict {
            code: "registration-changed",
            detail: format!("PCR 7 of {} was recorded meanwhile", device.edge_id),
        });
    }
    let device = devices::enrolled(db, device, pcr7, record.at)?;
    certificates::insert(db, &enrolment.certificate, &enrolment.der, enrolment.overlap_ends)?;
    let ek_certificates: Vec<String> = record.ek_certificates.iter().map(hex::encode).collect();
    db.execute(
        "INSERT INTO enrolments
             (device_id, at, certificate_serial, record, evidence, ak_public, ek_certificates)
         VALUES (:device_id, :at, :serial, :record, :evidence, :ak_public, :ek_certificates)",
        named_params! {
            ":device_id": device.id.to_string(),
            ":at": record.at.unix_timestamp(),
            ":serial": record.certificate_serial.as_str(),
            ":record": columns::to_json(record)?,
            ":evidence": record.evidence,
            ":ak_public": record.ak_public,
            ":ek_certificates": columns::to_json(&ek_certificates)?,
        },
    )?;
    Ok(device)
}

/// The certificate may have been revoked since the device showed it.
fn still_in_force(
    db: &Connection,
    device: &Device,
    serial: &Serial,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let shown = certificates::session(db, serial)?.map(|(certificate, _)| certificate);
    let shown = shown.filter(|certificate| certificate.device_id == device.id);
    let is_in_force = shown.is_some_and(|shown| in_force(device, &shown, now).is_ok());
    if is_in_force {
        return Ok(());
    }
    Err(StoreError::Conflict {
        code: Reason::CertificateRevoked.code(),
        detail: format!("the certificate {serial} is no longer in force"),
    })
}

pub(super) fn attestation_key(
    db: &Connection,
    device: Uuid,
) -> Result<Option<Vec<u8>>, StoreError> {
    let key = db
        .prepare_cached(
            "SELECT ak_public FROM enrolments WHERE device_id = ?1 ORDER BY id DESC LIMIT 1",
        )?
        .query_row([device.to_string()], |row| row.get(0))
        .optional()?;
    Ok(key)
}

pub(super) fn list(db: &Connection, device: Uuid) -> Result<Vec<EnrolmentRecord>, StoreError> {
    let records = db
        .prepare_cached("SELECT record FROM enrolments WHERE device_id = ?1 ORDER BY id DESC")?
        .query_map([device.to_string()], |row| columns::json(row, "record"))?
        .collect::<Result<_, _>>()?;
    Ok(records)
}
