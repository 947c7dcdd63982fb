//! Recovery keys: which there are, and handing one out. What is handed out is wrapped; still each
//! handing out is recorded, since it begins the opening of a disk.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use super::Caller;
use super::devices::{DeviceParameters, find};
use super::types::Items;
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::recovery::{RecoveryKeySummary, StoredRecoveryKey};
use crate::reply::{ErrorReply, Parameters, RequestId};

pub(super) async fn list(
    State(app): State<App>,
    id: RequestId,
    Parameters(wanted): Parameters<DeviceParameters>,
) -> Result<Json<Items<RecoveryKeySummary>>, ErrorReply> {
    let keys = app.store.recovery_keys(None).await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    let items = keys
        .into_iter()
        .map(|key| key.summary)
        .filter(|key| wanted.tenant.as_ref().is_none_or(|tenant| key.tenant == *tenant))
        .collect();
    Ok(Json(Items { items }))
}

pub(super) async fn show(
    State(app): State<App>,
    id: RequestId,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<DeviceParameters>,
) -> Result<Json<Items<RecoveryKeySummary>>, ErrorReply> {
    let device = find(&app, &name, wanted.tenant, &id).await?;
    let keys = app.store.recovery_keys(Some(device.id)).await;
    let keys = keys.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(Items { items: keys.into_iter().map(|key| key.summary).collect() }))
}

pub(super) async fn export(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<DeviceParameters>,
) -> Result<Json<Items<StoredRecoveryKey>>, ErrorReply> {
    let device = find(&app, &name, wanted.tenant, &id).await?;
    let failed = |e| ErrorReply::of_store(&e, &id);
    let items = app.store.recovery_keys(Some(device.id)).await.map_err(failed)?;
    let digests: Vec<&[u8]> = items.iter().map(|key| key.summary.sha256.0.as_slice()).collect();
    let operation =
        Operation::new(app.now(), caller.actor(), Act::ExportRecoveryKey, &device.edge_id)
            .with_device(device.id, &device.tenant)
            .with_arguments(&digests);
    if items.is_empty() {
        let detail = "this device has handed over no recovery key: its site names no recovery \
                      public key, or it was not online since"
            .to_owned();
        app.store.record_audit(operation.failed(&detail)).await.map_err(failed)?;
        return Err(ErrorReply::new(StatusCode::NOT_FOUND, "no-recovery-key", detail, &id));
    }
    // Before it is out of the house.
    app.store.record_audit(operation.done()).await.map_err(failed)?;
    Ok(Json(Items { items }))
}
