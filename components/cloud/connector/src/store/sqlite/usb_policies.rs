//! What is said of USB ports, and what each device was told.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{columns, devices, groups};
use crate::registry::{Device, DeviceRef, GroupName, Tenant};
use crate::store::StoreError;
use crate::usb::{
    DeviceUsbPolicy, ToldUsbPolicy, UsbContent, UsbDocument, UsbPolicy, UsbPolicyChange,
    UsbPolicyOwner,
};

fn from_row(row: &Row<'_>) -> rusqlite::Result<UsbPolicy> {
    Ok(UsbPolicy {
        content: UsbContent { rules: row.get("rules")?, ports: row.get("ports")? },
        version: row.get("version")?,
        changed_at: columns::time(row, "changed_at")?,
        changed_by: row.get("changed_by")?,
    })
}

pub(super) fn of_group(
    db: &Connection,
    tenant: &Tenant,
    name: &GroupName,
) -> Result<Option<UsbPolicy>, StoreError> {
    Ok(db
        .prepare_cached("SELECT * FROM group_usb_policies WHERE tenant = ?1 AND name = ?2")?
        .query_row([tenant.as_str(), name.as_str()], from_row)
        .optional()?)
}

fn own(db: &Connection, device: Uuid) -> Result<Option<UsbPolicy>, StoreError> {
    Ok(db
        .prepare_cached("SELECT * FROM device_usb_policies WHERE device_id = ?1")?
        .query_row([device.to_string()], from_row)
        .optional()?)
}

fn told(db: &Connection, device: Uuid) -> Result<Option<ToldUsbPolicy>, StoreError> {
    Ok(db
        .prepare_cached("SELECT * FROM told_usb_policies WHERE device_id = ?1")?
        .query_row([device.to_string()], |row| {
            Ok(ToldUsbPolicy {
                version: row.get("version")?,
                issued_at: columns::time(row, "issued_at")?,
                content_sha256: columns::digest(row, "content_sha256")?,
            })
        })
        .optional()?)
}

pub(super) fn of_device(db: &Connection, device: Uuid) -> Result<DeviceUsbPolicy, StoreError> {
    let Device { tenant, group, .. } = devices::find(db, &DeviceRef::Id(device))?;
    let group = group.map(|name| of_group(db, &tenant, &name)).transpose()?.flatten();
    Ok(DeviceUsbPolicy::new(own(db, device)?, group, told(db, device)?))
}

/// Changes what is said of a group or a device that is there.
pub(super) fn change(db: &Connection, change: UsbPolicyChange) -> Result<UsbPolicy, StoreError> {
    match change.owner.clone() {
        UsbPolicyOwner::Group { tenant, name } => {
            groups::get(db, &tenant, &name)?;
            let policy = change.apply(of_group(db, &tenant, &name)?);
            db.execute(
                "INSERT OR REPLACE INTO group_usb_policies
                     (tenant, name, rules, ports, version, changed_at, changed_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    tenant.as_str(),
                    name.as_str(),
                    policy.content.rules,
                    policy.content.ports,
                    policy.version,
                    policy.changed_at.unix_timestamp(),
                    policy.changed_by,
                ],
            )?;
            Ok(policy)
        }
        UsbPolicyOwner::Device(device) => {
            let policy = change.apply(own(db, device)?);
            db.execute(
                "INSERT OR REPLACE INTO device_usb_policies
                     (device_id, rules, ports, version, changed_at, changed_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    device.to_string(),
                    policy.content.rules,
                    policy.content.ports,
                    policy.version,
                    policy.changed_at.unix_timestamp(),
                    policy.changed_by,
                ],
            )?;
            Ok(policy)
        }
    }
}

/// The group is about to go.
pub(super) fn remove_group(
    db: &Connection,
    tenant: &Tenant,
    name: &GroupName,
) -> Result<(), StoreError> {
    db.execute(
        "DELETE FROM group_usb_policies WHERE tenant = ?1 AND name = ?2",
        [tenant.as_str(), name.as_str()],
    )?;
    Ok(())
}

/// What a device is told, if it was told already; none if there is nothing to tell.
pub(super) fn known_document(db: &Connection, device: Uuid) -> Result<Known, StoreError> {
    let policy = of_device(db, device)?;
    if policy.effective.is_empty() {
        return Ok(Known::Nothing);
    }
    Ok(match policy.told.filter(|_| policy.is_told()) {
        Some(told) => Known::Document(document(told, policy.effective)),
        None => Known::Changed,
    })
}

/// What a reader finds.
pub(super) enum Known {
    Nothing,
    Document(UsbDocument),
    /// A version is to be made.
    Changed,
}

/// The same; makes a version of content that the device was not told.
pub(super) fn make_document(
    db: &Connection,
    device: Uuid,
    at: OffsetDateTime,
) -> Result<Option<UsbDocument>, StoreError> {
    match known_document(db, device)? {
        Known::Nothing => return Ok(None),
        Known::Document(document) => return Ok(Some(document)),
        Known::Changed => {}
    }
    let policy = of_device(db, device)?;
    let told = policy.next(at);
    db.execute(
        "INSERT OR REPLACE INTO told_usb_policies (device_id, version, content_sha256, issued_at)
         VALUES (?1, ?2, ?3, ?4)",
        params![
            device.to_string(),
            told.version,
            told.content_sha256.0,
            told.issued_at.unix_timestamp()
        ],
    )?;
    Ok(Some(document(told, policy.effective)))
}

fn document(told: ToldUsbPolicy, content: UsbContent) -> UsbDocument {
    UsbDocument { version: told.version, issued_at: told.issued_at, content }
}
