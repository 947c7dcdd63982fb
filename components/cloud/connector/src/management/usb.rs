//! What is said of the USB ports of groups and devices, and what is plugged into them.

use axum::Json;
use axum::extract::{Path, State};

use super::Caller;
use super::devices::{DeviceParameters, find};
use super::groups::{TenantParameter, group_name, tenant_or_only};
use super::types::{Items, SetUsbPolicy};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::reply::{Body, ErrorReply, Parameters, RequestId};
use crate::usb::{
    DeviceUsbPolicy, TextChange, UsbDevice, UsbPolicy, UsbPolicyChange, UsbPolicyOwner,
    check_ports, check_rules,
};

/// Two texts within their limits.
pub(super) const BODY_LIMIT: usize = 768 * 1024;

pub(super) async fn of_group(
    State(app): State<App>,
    id: RequestId,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<TenantParameter>,
) -> Result<Json<UsbPolicy>, ErrorReply> {
    let name = group_name(&name, &id)?;
    let tenant = tenant_or_only(&app, wanted.tenant, &id).await?;
    let policy = app.store.group_usb_policy(tenant, name).await;
    Ok(Json(policy.map_err(|e| ErrorReply::of_store(&e, &id))?))
}

pub(super) async fn set_of_group(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<TenantParameter>,
    Body(body): Body<SetUsbPolicy>,
) -> Result<Json<UsbPolicy>, ErrorReply> {
    let name = group_name(&name, &id)?;
    let tenant = tenant_or_only(&app, wanted.tenant, &id).await?;
    let operation = Operation::new(app.now(), caller.actor(), Act::SetUsbPolicy, name.as_str())
        .with_tenant(&tenant);
    set(&app, &id, caller, operation, UsbPolicyOwner::Group { tenant, name }, body).await
}

pub(super) async fn of_device(
    State(app): State<App>,
    id: RequestId,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<DeviceParameters>,
) -> Result<Json<DeviceUsbPolicy>, ErrorReply> {
    let device = find(&app, &name, wanted.tenant, &id).await?;
    let policy = app.store.device_usb_policy(device.id).await;
    Ok(Json(policy.map_err(|e| ErrorReply::of_store(&e, &id))?))
}

pub(super) async fn set_of_device(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<DeviceParameters>,
    Body(body): Body<SetUsbPolicy>,
) -> Result<Json<UsbPolicy>, ErrorReply> {
    let device = find(&app, &name, wanted.tenant, &id).await?;
    let operation = Operation::new(app.now(), caller.actor(), Act::SetUsbPolicy, &device.edge_id)
        .with_device(device.id, &device.tenant);
    set(&app, &id, caller, operation, UsbPolicyOwner::Device(device.id), body).await
}

pub(super) async fn devices(
    State(app): State<App>,
    id: RequestId,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<DeviceParameters>,
) -> Result<Json<Items<UsbDevice>>, ErrorReply> {
    let device = find(&app, &name, wanted.tenant, &id).await?;
    let items = app.store.usb_devices(device.id).await;
    Ok(Json(Items { items: items.map_err(|e| ErrorReply::of_store(&e, &id))? }))
}

async fn set(
    app: &App,
    id: &RequestId,
    caller: Caller,
    operation: Operation,
    owner: UsbPolicyOwner,
    body: SetUsbPolicy,
) -> Result<Json<UsbPolicy>, ErrorReply> {
    let SetUsbPolicy { rules, ports } = body;
    let argument = |change: &TextChange| match change {
        TextChange::Keep => Vec::new(),
        TextChange::Clear => b"-".to_vec(),
        TextChange::Set(text) => [b"+", text.as_bytes()].concat(),
    };
    let operation = operation.with_arguments(&[&argument(&rules), &argument(&ports)]);
    if let Err(why) = check(&rules, &ports) {
        let failed = app.store.record_audit(operation.failed(&why)).await;
        failed.map_err(|e| ErrorReply::of_store(&e, id))?;
        return Err(ErrorReply::malformed(why, id));
    }
    let change = UsbPolicyChange { owner, rules, ports, at: app.now(), by: caller.name };
    let stored = app.store.set_usb_policy(change, operation.done()).await;
    Ok(Json(app.outcome(&operation, stored, id).await?))
}

fn check(rules: &TextChange, ports: &TextChange) -> Result<(), String> {
    if rules.is_keep() && ports.is_keep() {
        return Err("neither rules nor ports are said; null takes them away".to_owned());
    }
    if let TextChange::Set(text) = rules {
        check_rules(text).map_err(|why| format!("rules: {why}"))?;
    }
    if let TextChange::Set(text) = ports {
        check_ports(text).map_err(|why| format!("ports: {why}"))?;
    }
    Ok(())
}
