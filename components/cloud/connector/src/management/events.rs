//! Events.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use uuid::Uuid;

use super::types::{Items, page};
use crate::app::App;
use crate::registry::{Event, Severity};
use crate::reply::{ErrorReply, Parameters, RequestId};
use crate::store::EventFilter;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    device_id: Option<Uuid>,
    edge_id: Option<String>,
    request_id: Option<String>,
    severity: Option<Severity>,
    before: Option<i64>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(app): State<App>,
    id: RequestId,
    Parameters(wanted): Parameters<ListParameters>,
) -> Result<Json<Items<Event>>, ErrorReply> {
    let filter = EventFilter {
        device_id: wanted.device_id,
        edge_id: wanted.edge_id,
        request_id: wanted.request_id,
        severity: wanted.severity,
        before: wanted.before,
        limit: page(wanted.limit),
    };
    let items = app.store.events(filter).await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(Items { items }))
}
