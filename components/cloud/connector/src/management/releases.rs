//! Releases: what devices may boot and still get a certificate.

use axum::Json;
use axum::extract::{Path, State};
use bytes::Bytes;
use holdfast_attestation::pcr::ReleaseMeasurement;
use http::{HeaderMap, StatusCode};

use super::Caller;
use super::types::Items;
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::registry::Digest;
use crate::releases::Release;
use crate::reply::{ErrorReply, RequestId, expect_media_type};

pub(super) async fn list(
    State(app): State<App>,
    id: RequestId,
) -> Result<Json<Items<Release>>, ErrorReply> {
    let items = app.store.releases().await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(Items { items }))
}

pub(super) async fn publish(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Release>), ErrorReply> {
    expect_media_type(&headers, "application/json", &id)?;
    let measurement = ReleaseMeasurement::from_json(&body)
        .map_err(|e| ErrorReply::malformed(e.to_string(), &id))?;
    let now = app.now();
    let release = Release {
        measurement,
        published_at: now,
        published_by: caller.name.clone(),
        withdrawn_at: None,
    };
    let operation = Operation::new(now, caller.actor(), Act::PublishRelease, &release.label())
        .with_arguments(&[&body]);
    let published = app.store.publish_release(release, operation.done()).await;
    Ok((StatusCode::CREATED, Json(app.outcome(&operation, published, &id).await?)))
}

pub(super) async fn withdraw(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Path(uki_sha256): Path<String>,
) -> Result<Json<Release>, ErrorReply> {
    let digest: Digest =
        uki_sha256.parse().map_err(|e| ErrorReply::malformed(format!("uki_sha256: {e}"), &id))?;
    let now = app.now();
    let operation = Operation::new(now, caller.actor(), Act::WithdrawRelease, &uki_sha256)
        .with_arguments(&[&digest.0]);
    let withdrawn = app.store.withdraw_release(digest, now, operation.done()).await;
    Ok(Json(app.outcome(&operation, withdrawn, &id).await?))
}
