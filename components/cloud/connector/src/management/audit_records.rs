//! Audit records.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use uuid::Uuid;

use super::types::{Items, page};
use crate::app::App;
use crate::reply::{ErrorReply, Parameters, RequestId};
use crate::store::{AuditFilter, StoredAuditRecord};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    device_id: Option<Uuid>,
    before: Option<i64>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(app): State<App>,
    id: RequestId,
    Parameters(wanted): Parameters<ListParameters>,
) -> Result<Json<Items<StoredAuditRecord>>, ErrorReply> {
    let filter = AuditFilter {
        device_id: wanted.device_id,
        before: wanted.before,
        limit: page(wanted.limit),
    };
    let items = app.store.audit_records(filter).await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(Items { items }))
}
