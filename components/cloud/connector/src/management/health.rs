//! Whether the server lives, and the description of its API.

use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};

use crate::app::App;
use crate::reply::{ErrorReply, RequestId};

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(
    State(app): State<App>,
    id: RequestId,
) -> Result<&'static str, ErrorReply> {
    match app.store.ping().await {
        Ok(()) => Ok("ok\n"),
        Err(error) => {
            tracing::error!(%error, "the store does not answer");
            let detail = "the store does not answer".to_owned();
            Err(ErrorReply::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail, &id))
        }
    }
}

pub(super) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/yaml")], super::OPENAPI)
}
