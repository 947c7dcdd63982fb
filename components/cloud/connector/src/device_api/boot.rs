//! `PUT /api/v1/device/boot`: what the caller says of its boot, in place of what it said before.
//! The same again changes nothing.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::routing::put;
use holdfast_audit_log::{Actor, Text};
use http::StatusCode;
use uuid::Uuid;

use super::{BOOT, DeviceSession};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::registry::{BootReport, NewEvent, Severity};
use crate::reply::{Body, ErrorReply, RequestId};
use crate::tls::{Rate, TokenBuckets};

const BODY_LIMIT: usize = 8 * 1024;
/// A device boots seldom; each boot is a record in the audit, which is never deleted.
const RATE: Rate = Rate { burst: 20, per_minute: 4 };

type Limits = Arc<TokenBuckets<Uuid>>;

pub(super) fn router() -> Router<App> {
    let limits: Limits = Arc::new(TokenBuckets::new(RATE, 65_536));
    let put = put(report).layer(DefaultBodyLimit::max(BODY_LIMIT));
    Router::new().route(BOOT, put).layer(Extension(limits))
}

async fn report(
    State(app): State<App>,
    id: RequestId,
    Extension(limits): Extension<Limits>,
    session: DeviceSession,
    Body(report): Body<BootReport>,
) -> Result<StatusCode, ErrorReply> {
    let now = app.now();
    let device = session.device;
    limits.take(device.id, now).map_err(|too_many| {
        let detail = "too many reports; send one per boot".to_owned();
        ErrorReply::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", detail, &id)
            .retry_after(too_many.retry_after)
    })?;
    let told = serde_json::to_vec(&report).map_err(|e| ErrorReply::internal(&e, &id))?;
    let operation = Operation::new(
        now,
        Actor::device(Text::lossy(&device.id.to_string())),
        Act::ReportBoot,
        &device.edge_id,
    )
    .with_device(device.id, &device.tenant)
    .with_arguments(&[&told]);
    let changed = NewEvent {
        at: now,
        severity: Severity::Warning,
        kind: "firmware-changed".to_owned(),
        code: None,
        tenant: Some(device.tenant),
        device_id: Some(device.id),
        edge_id: Some(device.edge_id),
        ek_sha256: device.ek_sha256,
        source: None,
        request_id: Some(id.0.clone()),
        detail: String::new(),
    };
    let stored = app.store.put_boot_report(device.id, report, changed, operation.done()).await;
    app.outcome(&operation, stored, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
