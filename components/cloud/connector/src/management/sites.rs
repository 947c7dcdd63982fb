//! Site configurations: what devices may be configured with and still get a certificate.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;

use super::Caller;
use super::types::{AddSite, Items};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::registry::Tenant;
use crate::reply::{Body, ErrorReply, Parameters, RequestId};
use crate::sites::Site;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    tenant: Option<Tenant>,
}

pub(super) async fn list(
    State(app): State<App>,
    id: RequestId,
    Parameters(wanted): Parameters<ListParameters>,
) -> Result<Json<Items<Site>>, ErrorReply> {
    let items = app.store.sites(wanted.tenant).await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(Items { items }))
}

pub(super) async fn add(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Body(wanted): Body<AddSite>,
) -> Result<(StatusCode, Json<Site>), ErrorReply> {
    let now = app.now();
    let site = Site::new(wanted.document, wanted.signature, now, caller.name.clone())
        .map_err(|e| ErrorReply::malformed(format!("document: {e}"), &id))?;
    let operation = Operation::new(now, caller.actor(), Act::AddSite, &site.sha256.to_string())
        .with_tenant(&site.tenant)
        .with_arguments(&[&site.sha256.0]);
    let added = app.store.add_site(site, operation.done()).await;
    Ok((StatusCode::CREATED, Json(app.outcome(&operation, added, &id).await?)))
}
