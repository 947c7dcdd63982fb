//! CAs of TPM makers that vouch for the TPMs of a tenant's devices.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;

use super::Caller;
use super::devices::only_tenant;
use super::types::{AddEkCas, AddedEkCas, Items};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::ek_cas::{EkCa, read_bundle};
use crate::registry::{Digest, Tenant};
use crate::reply::{Body, ErrorReply, Parameters, RequestId};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantParameter {
    tenant: Option<Tenant>,
}

pub(super) async fn list(
    State(app): State<App>,
    id: RequestId,
    Parameters(wanted): Parameters<TenantParameter>,
) -> Result<Json<Items<EkCa>>, ErrorReply> {
    let items = app.store.ek_cas(wanted.tenant).await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(Items { items }))
}

pub(super) async fn add(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Body(wanted): Body<AddEkCas>,
) -> Result<(StatusCode, Json<AddedEkCas>), ErrorReply> {
    let tenant = match wanted.tenant {
        Some(tenant) => tenant,
        None => only_tenant(&app, &id).await?,
    };
    let now = app.now();
    let cas = read_bundle(&wanted.certificates, &tenant, now, &caller.name)
        .map_err(|e| ErrorReply::malformed(format!("certificates: {e}"), &id))?;
    let digests: Vec<&[u8]> = cas.iter().map(|ca| ca.sha256.0.as_slice()).collect();
    let target = match cas.as_slice() {
        [only] => only.subject.clone(),
        several => format!("{} CAs", several.len()),
    };
    let operation = Operation::new(now, caller.actor(), Act::AddEkCa, &target)
        .with_tenant(&tenant)
        .with_arguments(&digests);
    let given = cas.len();
    let added = app.store.add_ek_cas(cas, operation.done()).await;
    let added = app.outcome(&operation, added, &id).await?;
    Ok((StatusCode::CREATED, Json(AddedEkCas { added, given })))
}

pub(super) async fn remove(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Path(sha256): Path<String>,
    Parameters(wanted): Parameters<TenantParameter>,
) -> Result<Json<EkCa>, ErrorReply> {
    let sha256: Digest =
        sha256.parse().map_err(|e| ErrorReply::malformed(format!("sha256: {e}"), &id))?;
    let tenant = match wanted.tenant {
        Some(tenant) => tenant,
        None => only_tenant(&app, &id).await?,
    };
    let operation = Operation::new(app.now(), caller.actor(), Act::RemoveEkCa, &sha256.to_string())
        .with_tenant(&tenant)
        .with_arguments(&[&sha256.0]);
    let removed = app.store.remove_ek_ca(tenant, sha256, operation.done()).await;
    Ok(Json(app.outcome(&operation, removed, &id).await?))
}
