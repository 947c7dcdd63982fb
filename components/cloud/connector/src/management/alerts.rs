//! Alerts.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::Caller;
use super::types::{Items, page};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::registry::Alert;
use crate::reply::{ErrorReply, Parameters, RequestId};
use crate::store::{Acknowledgement, AlertFilter};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    #[serde(default)]
    all: bool,
    before: Option<i64>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(app): State<App>,
    id: RequestId,
    Parameters(wanted): Parameters<ListParameters>,
) -> Result<Json<Items<Alert>>, ErrorReply> {
    let filter = AlertFilter {
        acknowledged_too: wanted.all,
        before: wanted.before,
        limit: page(wanted.limit),
    };
    let items = app.store.alerts(filter).await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(Items { items }))
}

pub(super) async fn acknowledge(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Path(alert): Path<String>,
) -> Result<Json<Alert>, ErrorReply> {
    let number: i64 = alert
        .parse()
        .map_err(|_| ErrorReply::malformed(format!("alert: {alert:?} is no number"), &id))?;
    let now = app.now();
    let operation = Operation::new(now, caller.actor(), Act::AcknowledgeAlert, &alert);
    let by = Acknowledgement { at: now, name: caller.name };
    let acknowledged = app.store.acknowledge_alert(number, by, operation.done()).await;
    Ok(Json(app.outcome(&operation, acknowledged, &id).await?))
}
