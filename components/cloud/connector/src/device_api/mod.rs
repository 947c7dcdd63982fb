//! The device API: mutual TLS only, and the device's state is looked up at every request.

mod authenticate;
mod recovery;
mod self_;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, put};

pub use authenticate::DeviceSession;

use crate::app::App;
use crate::reply;

const BODY_LIMIT: usize = 64 * 1024;

/// Methods and paths of the device API, for the API's description.
pub const ROUTES: [(&str, &str); 2] =
    [("get", "/api/v1/device/self"), ("put", "/api/v1/device/recovery-key")];

/// The listener's routes.
pub fn router(app: &App) -> Router {
    let gate = Arc::new(authenticate::Gate::new(app.clone()));
    Router::new()
        .route(ROUTES[0].1, get(self_::show))
        .route(ROUTES[1].1, put(recovery::put))
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(gate, authenticate::authenticate))
        .layer(from_fn(reply::with_request_id))
        .with_state(app.clone())
}
