//! `GET /api/v1/device/self`: what the server thinks of the caller. The first call with a new
//! certificate makes an enrolled device active.

use axum::Json;
use axum::extract::State;
use holdfast_audit_log::{Actor, Text};
use serde::{Deserialize, Serialize};
use time::Duration;
use uuid::Uuid;

use super::DeviceSession;
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::ca::Serial;
use crate::registry::{Device, DeviceState, NewEvent, Severity, Tenant};
use crate::reply::{ErrorReply, RequestId};
use crate::store::StoreError;

/// `last_seen_at` is kept to the minute: a write per request would be a write too many.
const SEEN_STEP: Duration = Duration::minutes(1);

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SelfAnswer {
    device_id: Uuid,
    edge_id: String,
    state: DeviceState,
    tenant: Tenant,
    certificate: SelfCertificate,
    /// Seconds since 1970, for a device whose clock is not set.
    time: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SelfCertificate {
    serial: Serial,
    /// Seconds since 1970.
    not_after: i64,
}

pub(super) async fn show(
    State(app): State<App>,
    id: RequestId,
    session: DeviceSession,
) -> Result<Json<SelfAnswer>, ErrorReply> {
    let now = app.now();
    let DeviceSession { device, certificate } = session;
    let device = note(&app, &id, device).await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(SelfAnswer {
        device_id: device.id,
        edge_id: device.edge_id,
        state: device.state,
        tenant: device.tenant,
        certificate: SelfCertificate {
            serial: certificate.serial,
            not_after: certificate.not_after.unix_timestamp(),
        },
        time: now.unix_timestamp(),
    }))
}

async fn note(app: &App, id: &RequestId, device: Device) -> Result<Device, StoreError> {
    let now = app.now();
    if device.state == DeviceState::Enrolled {
        let operation = Operation::new(
            now,
            Actor::device(Text::lossy(&device.id.to_string())),
            Act::Activate,
            &device.edge_id,
        )
        .with_device(device.id, &device.tenant);
        let event = NewEvent {
            at: now,
            severity: Severity::Info,
            kind: "activated".to_owned(),
            code: None,
            tenant: Some(device.tenant.clone()),
            device_id: Some(device.id),
            edge_id: Some(device.edge_id.clone()),
            ek_sha256: device.ek_sha256,
            source: None,
            request_id: Some(id.0.clone()),
            detail: "the device uses its certificate".to_owned(),
        };
        return app.store.activate(device.id, now, event, operation.done()).await;
    }
    if device.last_seen_at.is_none_or(|seen| now - seen >= SEEN_STEP) {
        app.store.seen(device.id, now).await?;
    }
    Ok(device)
}
