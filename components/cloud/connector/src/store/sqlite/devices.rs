//! Devices and the changes of their state.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    boot_reports, certificates, columns, device_logs, groups, registration_secrets, usb_devices,
};
use crate::registry::{
    Change, Claim, Device, DeviceRef, DeviceState, Digest, GroupName, NewDevice, ProvenTpm,
    QuoteMode, RevocationReason, Tenant,
};
use crate::store::{ChangeOrder, DeviceChange, DeviceFilter, StoreError};

/// Devices, with what their groups say.
const SELECT: &str = "SELECT *, (SELECT quote_policy FROM groups
         WHERE groups.tenant = devices.tenant AND name = group_name)
     AS group_quote_policy FROM devices";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Device> {
    let quote_mode = columns::optional_text(row, "quote_mode")?;
    let group_quote_policy = columns::optional_text(row, "group_quote_policy")?;
    Ok(Device {
        id: columns::text(row, "id")?,
        tenant: columns::text(row, "tenant")?,
        edge_id: row.get("edge_id")?,
        binding: columns::text(row, "binding")?,
        ek_sha256: columns::optional_digest(row, "ek_sha256")?,
        tpm_unproven: row.get("tpm_unproven")?,
        not_after: columns::optional_time(row, "not_after")?,
        state: columns::text(row, "state")?,
        state_before_suspension: columns::optional_text(row, "state_before_suspension")?,
        approval: columns::text(row, "approval")?,
        quote_mode,
        group: columns::optional_text(row, "group_name")?,
        quote_policy: QuoteMode::in_force(quote_mode, group_quote_policy),
        pcr7: columns::optional_digest(row, "pcr7")?,
        note: row.get("note")?,
        registered_at: columns::time(row, "registered_at")?,
        registered_by: row.get("registered_by")?,
        changed_at: columns::time(row, "changed_at")?,
        changed_by: row.get("changed_by")?,
        enrolled_at: columns::optional_time(row, "enrolled_at")?,
        last_seen_at: columns::optional_time(row, "last_seen_at")?,
    })
}

pub(super) fn insert(db: &Connection, new: &NewDevice) -> Result<Device, StoreError> {
    add(db, new)?;
    get(db, new.id)
}

/// As [`insert`], where nobody asks for the device.
pub(super) fn add(db: &Connection, new: &NewDevice) -> Result<(), StoreError> {
    refuse_conflict(db, new)?;
    if let Some(group) = &new.group {
        groups::require(db, &new.tenant, group)?;
    }
    db.prepare_cached(
        "INSERT INTO devices (id, tenant, edge_id, group_name, binding, ek_sha256, tpm_unproven,
             not_after, state, approval, quote_mode, note, registered_at, registered_by,
             changed_at, changed_by)
         VALUES (:id, :tenant, :edge_id, :group, :binding, :ek, 0, :not_after, :state, :approval,
             :quote_mode, :note, :at, :by, :at, :by)",
    )?
    .execute(named_params! {
        ":id": new.id.to_string(),
        ":tenant": new.tenant.as_str(),
        ":edge_id": new.edge_id.as_str(),
        ":group": new.group.as_ref().map(GroupName::as_str),
        ":binding": new.binding.as_str(),
        ":ek": new.ek_sha256.map(|digest| digest.0),
        ":not_after": new.not_after.map(OffsetDateTime::unix_timestamp),
        ":state": DeviceState::Registered.as_str(),
        ":approval": new.approval.as_str(),
        ":quote_mode": new.quote_mode.map(QuoteMode::as_str),
        ":note": new.note,
        ":at": new.at.unix_timestamp(),
        ":by": new.by,
    })?;
    if let Some(secret) = &new.secret {
        registration_secrets::insert(db, new.id, secret)?;
    }
    Ok(())
}

fn refuse_conflict(db: &Connection, new: &NewDevice) -> Result<(), StoreError> {
    let claim = Claim { edge_id: new.edge_id.clone(), ek_sha256: new.ek_sha256 };
    for device in candidates(db, &claim)? {
        if device.state == DeviceState::Retired {
            continue;
        }
        if device.tenant == new.tenant && device.edge_id == new.edge_id.as_str() {
            return Err(StoreError::Conflict {
                code: "edge-id-registered",
                detail: format!(
                    "Edge ID {} is registered already (device {}, {}); retire it first, or \
                     rebind it to another TPM",
                    device.edge_id, device.id, device.state
                ),
            });
        }
        if new.ek_sha256.is_some() && device.ek_sha256 == new.ek_sha256 {
            return Err(tpm_registered(&device));
        }
    }
    Ok(())
}

fn tpm_registered(device: &Device) -> StoreError {
    StoreError::Conflict {
        code: "tpm-registered",
        detail: format!(
            "this TPM is registered already, as Edge ID {} (device {}, {}); retire that first",
            device.edge_id, device.id, device.state
        ),
    }
}

pub(super) fn get(db: &Connection, id: Uuid) -> Result<Device, StoreError> {
    db.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?
        .query_row([id.to_string()], from_row)
        .optional()?
        .ok_or_else(|| StoreError::NotFound(format!("device {id}")))
}

pub(super) fn find(db: &Connection, device: &DeviceRef) -> Result<Device, StoreError> {
    let (tenant, edge_id) = match device {
        DeviceRef::Id(id) => return get(db, *id),
        DeviceRef::EdgeId { tenant, edge_id } => (tenant, edge_id),
    };
    // Of several registrations of one name, the one that is not retired, else the newest.
    let mut found: Vec<Device> = db
        .prepare_cached(&format!(
            "{SELECT} WHERE edge_id = ?1 AND (?2 IS NULL OR tenant = ?2)
             ORDER BY state = 'retired', registered_at DESC, rowid DESC",
        ))?
        .query_map(params![edge_id.as_str(), tenant.as_ref().map(Tenant::as_str)], from_row)?
        .collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Err(StoreError::NotFound(format!("device with Edge ID {edge_id}")));
    }
    let live = found.iter().filter(|device| device.state != DeviceState::Retired).count();
    if live > 1 {
        return Err(StoreError::Ambiguous(format!(
            "several tenants have a device with Edge ID {edge_id}; say which with the tenant or \
             the device id"
        )));
    }
    Ok(found.swap_remove(0))
}

pub(super) fn list(db: &Connection, filter: &DeviceFilter) -> Result<Vec<Device>, StoreError> {
    let devices = db
        .prepare_cached(&format!(
            "{SELECT}
             WHERE (:tenant IS NULL OR tenant = :tenant)
               AND (:state IS NULL OR state = :state)
               AND (:group IS NULL OR group_name = :group)
               AND (:after IS NULL OR id > :after)
             ORDER BY id LIMIT :limit",
        ))?
        .query_map(
            named_params! {
                ":tenant": filter.tenant.as_ref().map(Tenant::as_str),
                ":state": filter.state.map(DeviceState::as_str),
                ":group": filter.group.as_ref().map(GroupName::as_str),
                ":after": filter.after.map(|id| id.to_string()),
                ":limit": filter.limit,
            },
            from_row,
        )?
        .collect::<Result<_, _>>()?;
    Ok(devices)
}

pub(super) fn candidates(db: &Connection, claim: &Claim) -> Result<Vec<Device>, StoreError> {
    let devices = db
        .prepare_cached(&format!(
            "{SELECT} WHERE ek_sha256 = ?1 UNION {SELECT} WHERE edge_id = ?2"
        ))?
        .query_map(
            params![claim.ek_sha256.map(|digest| digest.0), claim.edge_id.as_str()],
            from_row,
        )?
        .collect::<Result<_, _>>()?;
    Ok(devices)
}

pub(super) fn change(db: &Connection, order: &ChangeOrder) -> Result<Device, StoreError> {
    let device = get(db, order.device_id)?;
    match &order.change {
        DeviceChange::AwaitApproval(tpm) => {
            if let Some(tpm) = tpm {
                bind(db, &device, *tpm)?;
            }
            move_to(db, &device, device.state.after(Change::AwaitApproval)?, None)?;
        }
        DeviceChange::Approve => {
            move_to(db, &device, device.state.after(Change::Approve)?, None)?;
            db.execute(
                "UPDATE devices SET approval = 'auto' WHERE id = ?1",
                [device.id.to_string()],
            )?;
        }
        DeviceChange::Suspend => {
            move_to(db, &device, device.state.after(Change::Suspend)?, Some(device.state))?;
        }
        DeviceChange::Resume => {
            let before = device.state_before_suspension.unwrap_or(DeviceState::Registered);
            move_to(db, &device, device.state.after(Change::Resume { before })?, None)?;
        }
        DeviceChange::Revoke => {
            move_to(db, &device, device.state.after(Change::Revoke)?, None)?;
            registration_secrets::delete(db, device.id)?;
            let reason = RevocationReason::PrivilegeWithdrawn;
            certificates::revoke_all(db, device.id, order.at, reason)?;
        }
        DeviceChange::Retire => {
            move_to(db, &device, device.state.after(Change::Retire)?, None)?;
            registration_secrets::delete(db, device.id)?;
            let reason = RevocationReason::CessationOfOperation;
            certificates::revoke_all(db, device.id, order.at, reason)?;
        }
        DeviceChange::Rebind(ek_sha256) => rebind(db, &device, *ek_sha256, order.at)?,
        DeviceChange::ForgetFirmware => forget_firmware(db, device.id)?,
        DeviceChange::MoveGroup(group) => move_group(db, &device, group.as_ref())?,
    }
    db.execute(
        "UPDATE devices SET changed_at = ?2, changed_by = ?3 WHERE id = ?1",
        params![device.id.to_string(), order.at.unix_timestamp(), order.by],
    )?;
    get(db, device.id)
}

fn move_to(
    db: &Connection,
    device: &Device,
    state: DeviceState,
    before: Option<DeviceState>,
) -> Result<(), StoreError> {
    db.execute(
        "UPDATE devices SET state = ?2, state_before_suspension = ?3 WHERE id = ?1",
        params![device.id.to_string(), state.as_str(), before.map(DeviceState::as_str)],
    )?;
    Ok(())
}

fn rebind(
    db: &Connection,
    device: &Device,
    ek_sha256: Digest,
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    refuse_bound(db, device.id, ek_sha256)?;
    move_to(db, device, device.state.after(Change::Rebind)?, None)?;
    db.execute(
        "UPDATE devices SET ek_sha256 = ?2, binding = 'ek_sha256', tpm_unproven = 0, not_after = NULL
         WHERE id = ?1",
        params![device.id.to_string(), ek_sha256.0],
    )?;
    registration_secrets::delete(db, device.id)?;
    forget_firmware(db, device.id)?;
    boot_reports::delete(db, device.id)?;
    usb_devices::delete(db, device.id)?;
    device_logs::close(db, device.id)?;
    certificates::revoke_all(db, device.id, at, RevocationReason::Superseded)
}

/// Binds the first TPM of a registration that named none; afterwards it is the only one.
pub(super) fn bind(db: &Connection, device: &Device, tpm: ProvenTpm) -> Result<(), StoreError> {
    if device.ek_sha256 == Some(tpm.ek_sha256) {
        return Ok(());
    }
    if device.ek_sha256.is_some() {
        return Err(StoreError::Conflict {
            code: "registration-changed",
            detail: format!("another TPM was bound to {} meanwhile", device.edge_id),
        });
    }
    refuse_bound(db, device.id, tpm.ek_sha256)?;
    db.execute(
        "UPDATE devices SET ek_sha256 = ?2, tpm_unproven = ?3 WHERE id = ?1",
        params![device.id.to_string(), tpm.ek_sha256.0, tpm.is_unproven],
    )?;
    Ok(())
}

/// A TPM belongs to one device.
fn refuse_bound(db: &Connection, device: Uuid, ek_sha256: Digest) -> Result<(), StoreError> {
    let owner = db
        .query_row(
            &format!("{SELECT} WHERE ek_sha256 = ?1 AND state <> 'retired' AND id <> ?2"),
            params![ek_sha256.0, device.to_string()],
            from_row,
        )
        .optional()?;
    owner.map_or(Ok(()), |owner| Err(tpm_registered(&owner)))
}

fn forget_firmware(db: &Connection, id: Uuid) -> Result<(), StoreError> {
    db.execute("UPDATE devices SET pcr7 = NULL WHERE id = ?1", [id.to_string()])?;
    Ok(())
}

fn move_group(
    db: &Connection,
    device: &Device,
    group: Option<&GroupName>,
) -> Result<(), StoreError> {
    if let Some(group) = group {
        groups::require(db, &device.tenant, group)?;
    }
    db.execute(
        "UPDATE devices SET group_name = ?2 WHERE id = ?1",
        params![device.id.to_string(), group.map(GroupName::as_str)],
    )?;
    Ok(())
}

/// Moves a device on after a certificate was issued, and takes its firmware down at the first time.
pub(super) fn enrolled(
    db: &Connection,
    device: &Device,
    pcr7: Option<Digest>,
    at: OffsetDateTime,
) -> Result<Device, StoreError> {
    let state = device.state.after(Change::Enrol)?;
    db.execute(
        "UPDATE devices SET state = ?2, pcr7 = COALESCE(pcr7, ?3), enrolled_at = ?4,
             changed_at = ?4, changed_by = 'enrolment' WHERE id = ?1",
        params![
            device.id.to_string(),
            state.as_str(),
            pcr7.map(|digest| digest.0),
            at.unix_timestamp()
        ],
    )?;
    get(db, device.id)
}

/// Whether it was not active before.
pub(super) fn activate(
    db: &Connection,
    id: Uuid,
    at: OffsetDateTime,
) -> Result<(Device, bool), StoreError> {
    let device = get(db, id)?;
    let state = device.state.after(Change::Activate)?;
    let changed = state != device.state;
    if changed {
        db.execute(
            "UPDATE devices SET state = ?2, changed_at = ?3, changed_by = 'first connection'
             WHERE id = ?1",
            params![id.to_string(), state.as_str(), at.unix_timestamp()],
        )?;
        // Until now the answer to the enrolment could have been lost.
        registration_secrets::delete(db, id)?;
    }
    seen(db, id, at)?;
    Ok((get(db, id)?, changed))
}

pub(super) fn seen(db: &Connection, id: Uuid, at: OffsetDateTime) -> Result<(), StoreError> {
    db.execute(
        "UPDATE devices SET last_seen_at = ?2 WHERE id = ?1",
        params![id.to_string(), at.unix_timestamp()],
    )?;
    Ok(())
}
