//! Groups of devices.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{columns, usb_policies};
use crate::registry::{Group, GroupName, NewGroup, Tenant};
use crate::store::StoreError;

const SELECT: &str = "SELECT *, (SELECT count(*) FROM devices
         WHERE devices.tenant = groups.tenant AND group_name = name AND state <> 'retired')
     AS devices FROM groups";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Group> {
    Ok(Group {
        tenant: columns::text(row, "tenant")?,
        name: columns::text(row, "name")?,
        quote_policy: columns::text(row, "quote_policy")?,
        devices: row.get("devices")?,
        changed_at: columns::time(row, "changed_at")?,
        changed_by: row.get("changed_by")?,
    })
}

/// Makes a group, or puts it in place of the one of its name; its devices stay in it.
pub(super) fn put(db: &Connection, new: &NewGroup) -> Result<Group, StoreError> {
    db.execute(
        "INSERT INTO groups (tenant, name, quote_policy, changed_at, changed_by)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (tenant, name) DO UPDATE
         SET quote_policy = ?3, changed_at = ?4, changed_by = ?5",
        params![
            new.tenant.as_str(),
            new.name.as_str(),
            new.quote_policy.as_str(),
            new.at.unix_timestamp(),
            new.by,
        ],
    )?;
    get(db, &new.tenant, &new.name)
}

pub(super) fn get(db: &Connection, tenant: &Tenant, name: &GroupName) -> Result<Group, StoreError> {
    find(db, tenant, name)?
        .ok_or_else(|| StoreError::NotFound(format!("group {name} of tenant {tenant}")))
}

fn find(db: &Connection, tenant: &Tenant, name: &GroupName) -> Result<Option<Group>, StoreError> {
    Ok(db
        .prepare_cached(&format!("{SELECT} WHERE tenant = ?1 AND name = ?2"))?
        .query_row([tenant.as_str(), name.as_str()], from_row)
        .optional()?)
}

pub(super) fn list(db: &Connection, tenant: Option<&Tenant>) -> Result<Vec<Group>, StoreError> {
    let groups = db
        .prepare_cached(&format!("{SELECT} WHERE ?1 IS NULL OR tenant = ?1 ORDER BY tenant, name"))?
        .query_map([tenant.map(Tenant::as_str)], from_row)?
        .collect::<Result<_, _>>()?;
    Ok(groups)
}

/// Whether a device may be put into it.
pub(super) fn require(
    db: &Connection,
    tenant: &Tenant,
    name: &GroupName,
) -> Result<(), StoreError> {
    let is_there = db
        .prepare_cached("SELECT 1 FROM groups WHERE tenant = ?1 AND name = ?2")?
        .exists([tenant.as_str(), name.as_str()])?;
    if is_there {
        return Ok(());
    }
    Err(StoreError::Conflict {
        code: "group-unknown",
        detail: format!(
            "tenant {tenant} has no group {name}; make it first: holdfast-cloud group set {name} \
             --quote enforce"
        ),
    })
}

/// Removes a group that no device is in; devices that are retired lose it.
pub(super) fn remove(
    db: &Connection,
    tenant: &Tenant,
    name: &GroupName,
) -> Result<Group, StoreError> {
    let group = get(db, tenant, name)?;
    if group.devices > 0 {
        return Err(StoreError::Conflict {
            code: "group-in-use",
            detail: format!(
                "group {name} is not empty, devices in it: {} (holdfast-cloud device list --group \
                 {name}); move them first: holdfast-cloud device move-group DEVICE --to GROUP",
                group.devices
            ),
        });
    }
    let key = [tenant.as_str(), name.as_str()];
    db.execute("UPDATE devices SET group_name = NULL WHERE tenant = ?1 AND group_name = ?2", key)?;
    usb_policies::remove_group(db, tenant, name)?;
    db.execute("DELETE FROM groups WHERE tenant = ?1 AND name = ?2", key)?;
    Ok(group)
}
