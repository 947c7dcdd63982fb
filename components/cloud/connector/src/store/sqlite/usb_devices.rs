//! What is plugged into the USB ports of devices.

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::columns;
use crate::store::StoreError;
use crate::usb::{MOST_USB_DEVICES, UsbChanges, UsbDevice};

pub(super) fn change(
    db: &Connection,
    device: Uuid,
    changes: &UsbChanges,
) -> Result<(), StoreError> {
    if changes.restarted {
        delete(db, device)?;
    }
    if changes.devices.is_empty() {
        return Ok(());
    }
    let device = device.to_string();
    let mut remove =
        db.prepare_cached("DELETE FROM usb_devices WHERE device_id = ?1 AND name = ?2")?;
    let mut put = db.prepare_cached(
        "INSERT OR REPLACE INTO usb_devices (device_id, name, decision, decided_at)
         VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (name, decision) in &changes.devices {
        match decision {
            None => remove.execute([&device, name])?,
            Some(decision) => put.execute(params![
                device,
                name,
                columns::to_json(decision)?,
                decision.decided_at.unix_timestamp(),
            ])?,
        };
    }
    db.prepare_cached(
        "DELETE FROM usb_devices WHERE device_id = ?1 AND name IN
             (SELECT name FROM usb_devices WHERE device_id = ?1
              ORDER BY decided_at DESC, name LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![device, MOST_USB_DEVICES])?;
    Ok(())
}

/// What is plugged into a device, by name.
pub(super) fn list(db: &Connection, device: Uuid) -> Result<Vec<UsbDevice>, StoreError> {
    let devices = db
        .prepare_cached("SELECT decision FROM usb_devices WHERE device_id = ?1 ORDER BY name")?
        .query_map([device.to_string()], |row| columns::json(row, "decision"))?
        .collect::<Result<_, _>>()?;
    Ok(devices)
}

pub(super) fn delete(db: &Connection, device: Uuid) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM usb_devices WHERE device_id = ?1")?
        .execute([device.to_string()])?;
    Ok(())
}
