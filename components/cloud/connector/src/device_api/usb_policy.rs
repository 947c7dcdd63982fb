//! `GET /api/v1/device/policy/usb`: what is said of the caller's USB ports, signed for it alone.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::DeviceSession;
use crate::app::App;
use crate::reply::{ErrorReply, RequestId};

/// JWS in compact serialization (RFC 7515, section 9.2.1).
const JOSE: HeaderValue = HeaderValue::from_static("application/jose");

pub(super) async fn show(
    State(app): State<App>,
    id: RequestId,
    session: DeviceSession,
    headers: HeaderMap,
) -> Result<Response, ErrorReply> {
    let (device, now) = (session.device, app.now());
    let document = app.store.usb_document(device.id, now).await;
    let document = document.map_err(|e| ErrorReply::of_store(&e, &id))?;
    let Some(document) = document else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let tag = format!("\"{}\"", document.version);
    let shown: [(HeaderName, HeaderValue); 1] =
        [(header::ETAG, HeaderValue::from_str(&tag).map_err(|e| ErrorReply::internal(&e, &id))?)];
    if is_known(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, shown).into_response());
    }
    let signed = app.authority().sign_policy(&document.policy(&device), now);
    let signed = signed.map_err(|e| ErrorReply::internal(&e, &id))?;
    Ok((shown, [(header::CONTENT_TYPE, JOSE)], signed).into_response())
}

/// Whether the caller has this version (RFC 9110, section 13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH);
    let mut known =
        values.iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    known.any(|known| known.trim().trim_start_matches("W/") == tag)
}
