//! Groups of devices, and what they say of them.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;

use super::Caller;
use super::devices::only_tenant;
use super::types::{Items, PutGroup};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::registry::{Group, GroupName, NewGroup, Tenant};
use crate::reply::{Body, ErrorReply, Parameters, RequestId};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantParameter {
    pub(super) tenant: Option<Tenant>,
}

pub(super) async fn list(
    State(app): State<App>,
    id: RequestId,
    Parameters(wanted): Parameters<TenantParameter>,
) -> Result<Json<Items<Group>>, ErrorReply> {
    let items = app.store.groups(wanted.tenant).await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(Items { items }))
}

pub(super) async fn put(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Body(wanted): Body<PutGroup>,
) -> Result<(StatusCode, Json<Group>), ErrorReply> {
    let PutGroup { tenant, name, quote_policy } = wanted;
    let tenant = tenant_or_only(&app, tenant, &id).await?;
    let now = app.now();
    let operation = Operation::new(now, caller.actor(), Act::SetGroup, name.as_str())
        .with_tenant(&tenant)
        .with_arguments(&[name.as_str().as_bytes(), quote_policy.as_str().as_bytes()]);
    let group = NewGroup { tenant, name, quote_policy, at: now, by: caller.name };
    let stored = app.store.put_group(group, operation.done()).await;
    Ok((StatusCode::CREATED, Json(app.outcome(&operation, stored, &id).await?)))
}

pub(super) async fn show(
    State(app): State<App>,
    id: RequestId,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<TenantParameter>,
) -> Result<Json<Group>, ErrorReply> {
    let name = group_name(&name, &id)?;
    let tenant = tenant_or_only(&app, wanted.tenant, &id).await?;
    let group = app.store.group(tenant, name).await;
    Ok(Json(group.map_err(|e| ErrorReply::of_store(&e, &id))?))
}

pub(super) async fn remove(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<TenantParameter>,
) -> Result<Json<Group>, ErrorReply> {
    let name = group_name(&name, &id)?;
    let tenant = tenant_or_only(&app, wanted.tenant, &id).await?;
    let operation = Operation::new(app.now(), caller.actor(), Act::RemoveGroup, name.as_str())
        .with_tenant(&tenant)
        .with_arguments(&[name.as_str().as_bytes()]);
    let removed = app.store.remove_group(tenant, name, operation.done()).await;
    Ok(Json(app.outcome(&operation, removed, &id).await?))
}

pub(super) fn group_name(text: &str, id: &RequestId) -> Result<GroupName, ErrorReply> {
    text.parse().map_err(|e| ErrorReply::malformed(format!("group: {e}"), id))
}

pub(super) async fn tenant_or_only(
    app: &App,
    named: Option<Tenant>,
    id: &RequestId,
) -> Result<Tenant, ErrorReply> {
    match named {
        Some(tenant) => Ok(tenant),
        None => only_tenant(app, id).await,
    }
}
