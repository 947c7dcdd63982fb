//! `PUT /api/v1/device/recovery-key`: the wrapped recovery keys that open the caller's volume, in
//! place of those that it handed over before. The same again changes nothing.

use axum::Json;
use axum::extract::{Request, State};
use holdfast_attestation::hash::sha256;
use holdfast_audit_log::{Actor, Text};
use holdfast_recovery::KeySet;
use serde::Serialize;

use super::DeviceSession;
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::recovery::NewRecoveryKey;
use crate::registry::Digest;
use crate::reply::{ErrorReply, RequestId, body_bytes, expect_media_type};

/// The answer: what is stored now.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Stored {
    /// SHA-256 of the body.
    sha256: Digest,
}

pub(super) async fn put(
    State(app): State<App>,
    id: RequestId,
    session: DeviceSession,
    request: Request,
) -> Result<Json<Stored>, ErrorReply> {
    expect_media_type(request.headers(), "application/json", &id)?;
    let body = body_bytes(request, &app).await?;
    let now = app.now();
    let digest = sha256(&[&body]);
    let device = session.device;
    let operation = Operation::new(
        now,
        Actor::device(Text::lossy(&device.id.to_string())),
        Act::StoreRecoveryKey,
        &device.edge_id,
    )
    .with_device(device.id, &device.tenant)
    .with_arguments(&[&digest]);
    let keys = match parse(&body) {
        Ok(keys) => keys,
        Err(why) => {
            app.store
                .record_audit(operation.failed(&why))
                .await
                .map_err(|e| ErrorReply::of_store(&e, &id))?;
            return Err(ErrorReply::malformed(why, &id));
        }
    };
    let stored = app.store.put_recovery_keys(device.id, keys, now, operation.done()).await;
    app.outcome(&operation, stored, &id).await?;
    Ok(Json(Stored { sha256: Digest(digest) }))
}

fn parse(body: &[u8]) -> Result<Vec<NewRecoveryKey>, String> {
    let set: KeySet =
        serde_json::from_slice(body).map_err(|e| format!("the body is not as expected: {e}"))?;
    set.check().map_err(|error| error.to_string())?;
    set.keys
        .into_iter()
        .map(|wrapped| {
            let recipient_sha256 =
                wrapped.recipient_sha256.parse().map_err(|e| format!("recipient_sha256: {e}"))?;
            Ok(NewRecoveryKey { wrapped, recipient_sha256 })
        })
        .collect()
}
