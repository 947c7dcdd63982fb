//! The audit logs of devices: how each stands, the whole of one, and records by what they say.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use holdfast_audit_log::frame::{Class, Kind};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::devices::{DeviceParameters, find};
use super::types::{AuditLogStatus, Items, page};
use crate::app::App;
use crate::device_api::receipt;
use crate::device_audit::{Cursor, Export, LogId, Search, SearchPage, StoredLog, name_of};
use crate::reply::{ErrorReply, Parameters, RequestId};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchParameters {
    device_id: Option<Uuid>,
    user: Option<u32>,
    class: Option<String>,
    kind: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    from: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    to: Option<OffsetDateTime>,
    action: Option<String>,
    cursor: Option<Cursor>,
    limit: Option<u32>,
}

pub(super) async fn search(
    State(app): State<App>,
    id: RequestId,
    Parameters(wanted): Parameters<SearchParameters>,
) -> Result<Json<SearchPage>, ErrorReply> {
    let malformed = |detail| ErrorReply::malformed(detail, &id);
    let class = named("class", &Class::ALL, wanted.class.as_deref()).map_err(malformed)?;
    let kind = named("kind", &Kind::ALL, wanted.kind.as_deref()).map_err(malformed)?;
    let search = Search {
        device_id: wanted.device_id,
        user: wanted.user,
        class,
        kind,
        from: wanted.from,
        to: wanted.to,
        action: wanted.action,
    };
    let limit = usize::try_from(page(wanted.limit)).unwrap_or(usize::MAX);
    let found = app.device_audit.search(&app.store, search, wanted.cursor, limit).await;
    Ok(Json(found.map_err(|e| ErrorReply::internal(&e, &id))?))
}

fn named<T: Copy + Serialize>(
    what: &str,
    all: &[T],
    name: Option<&str>,
) -> Result<Option<T>, String> {
    let Some(name) = name else { return Ok(None) };
    let known = all.iter().find(|one| name_of(*one) == name);
    known.map(|one| Some(*one)).ok_or_else(|| {
        let names: Vec<String> = all.iter().map(name_of).collect();
        format!("there is no {what} {name:?}, only {}", names.join(", "))
    })
}

pub(super) async fn logs(
    State(app): State<App>,
    id: RequestId,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<DeviceParameters>,
) -> Result<Json<Items<AuditLogStatus>>, ErrorReply> {
    let device = find(&app, &name, wanted.tenant, &id).await?;
    let logs = app.store.audit_logs(device.id).await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(Items { items: logs.iter().map(AuditLogStatus::from).collect() }))
}

pub(super) async fn export(
    State(app): State<App>,
    id: RequestId,
    Path((name, log)): Path<(String, String)>,
    Parameters(wanted): Parameters<DeviceParameters>,
) -> Result<Response, ErrorReply> {
    let device = find(&app, &name, wanted.tenant, &id).await?;
    let unknown = || {
        let detail = format!("device {} has no audit log {log:?}", device.edge_id);
        ErrorReply::new(StatusCode::NOT_FOUND, "not-found", detail, &id)
    };
    let log: LogId = log.parse().map_err(|_| unknown())?;
    let found = app.store.audit_log(log.clone()).await;
    let found = found.map_err(|e| ErrorReply::of_store(&e, &id))?;
    let found = found.filter(|found| found.device_id == device.id).ok_or_else(unknown)?;
    let now = app.now();
    let receipt = receipt(&app, &found.id, device.id, &found.position)
        .map_err(|e| ErrorReply::internal(&e, &id))?;
    let export = Export {
        size: found.position.size(),
        key: key_pem(&found),
        receipt,
        log,
        at: u64::try_from(now.unix_timestamp()).unwrap_or_default(),
    };
    let tar = Body::from_stream(app.device_audit.export(&app.store, export));
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], tar).into_response())
}

fn key_pem(log: &StoredLog) -> String {
    der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, &log.key_spki)
        .unwrap_or_default()
}
