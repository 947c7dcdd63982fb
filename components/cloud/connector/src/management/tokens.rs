//! Tokens: for whom devices may have them, and the keys that sign them.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use serde::Deserialize;

use super::Caller;
use super::devices::only_tenant;
use super::types::{Items, NameAudience, PutAudience, RotateTokenKeys};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::registry::Tenant;
use crate::reply::{Body, ErrorReply, Parameters, RequestId};
use crate::tokens::{AudienceRecord, KeyStatus};

const SCOPES_LIMIT: usize = 32;

/// The key set, for verifiers; nobody has to show who he is.
pub(crate) async fn jwks(State(app): State<App>) -> impl IntoResponse {
    // A key is published long before it signs, so what is cached for minutes is never too old.
    let headers = [
        (header::CONTENT_TYPE, "application/jwk-set+json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, serde_json::json!(app.token_keys.jwks(app.now())).to_string())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    tenant: Option<Tenant>,
}

pub(super) async fn audiences(
    State(app): State<App>,
    id: RequestId,
    Parameters(wanted): Parameters<ListParameters>,
) -> Result<Json<Items<AudienceRecord>>, ErrorReply> {
    let items = app.store.audiences(wanted.tenant).await;
    Ok(Json(Items { items: items.map_err(|e| ErrorReply::of_store(&e, &id))? }))
}

pub(super) async fn add_audience(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Body(wanted): Body<PutAudience>,
) -> Result<(StatusCode, Json<AudienceRecord>), ErrorReply> {
    if wanted.scopes.len() > SCOPES_LIMIT {
        let detail = format!("scopes: over the limit of {SCOPES_LIMIT}");
        return Err(ErrorReply::malformed(detail, &id));
    }
    let tenant = match wanted.tenant {
        Some(tenant) => tenant,
        None => only_tenant(&app, &id).await?,
    };
    let mut scopes = wanted.scopes;
    scopes.sort();
    scopes.dedup();
    let now = app.now();
    let mut arguments = vec![wanted.audience.as_str().as_bytes()];
    arguments.extend(scopes.iter().map(|scope| scope.as_str().as_bytes()));
    let operation = Operation::new(now, caller.actor(), Act::AddAudience, wanted.audience.as_str())
        .with_tenant(&tenant)
        .with_arguments(&arguments);
    let record = AudienceRecord {
        tenant,
        audience: wanted.audience,
        scopes,
        added_at: now,
        added_by: caller.name,
    };
    let added = app.store.put_audience(record, operation.done()).await;
    Ok((StatusCode::CREATED, Json(app.outcome(&operation, added, &id).await?)))
}

pub(super) async fn remove_audience(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Body(wanted): Body<NameAudience>,
) -> Result<Json<AudienceRecord>, ErrorReply> {
    let tenant = match wanted.tenant {
        Some(tenant) => tenant,
        None => only_tenant(&app, &id).await?,
    };
    let operation =
        Operation::new(app.now(), caller.actor(), Act::RemoveAudience, wanted.audience.as_str())
            .with_tenant(&tenant)
            .with_arguments(&[wanted.audience.as_str().as_bytes()]);
    let removed = app.store.remove_audience(tenant, wanted.audience, operation.done()).await;
    Ok(Json(app.outcome(&operation, removed, &id).await?))
}

pub(super) async fn keys(State(app): State<App>) -> Json<Items<KeyStatus>> {
    Json(Items { items: app.token_keys.status(app.now()) })
}

pub(super) async fn rotate_keys(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Body(wanted): Body<RotateTokenKeys>,
) -> Result<Json<Items<KeyStatus>>, ErrorReply> {
    let now = app.now();
    let how = if wanted.compromised { "compromised" } else { "rotate" };
    let operation = Operation::new(now, caller.actor(), Act::RotateTokenKeys, how);
    // The record comes first: keys that nobody knows to be new would be worse than a record of
    // a change that did not come to pass, which a second record then tells.
    let record = |entry| app.store.record_audit(entry);
    record(operation.done()).await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    let changed =
        if wanted.compromised { app.token_keys.replace(now) } else { app.token_keys.rotate(now) };
    if let Err(error) = changed {
        let failed = operation.failed(&error.to_string());
        record(failed).await.map_err(|e| ErrorReply::of_store(&e, &id))?;
        return Err(ErrorReply::internal(&error, &id));
    }
    Ok(keys(State(app)).await)
}
