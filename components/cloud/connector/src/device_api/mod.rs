//! The device API: mutual TLS only, and the device's state is looked up at every request.

mod audit;
mod authenticate;
mod boot;
mod recovery;
mod self_;
mod token;
mod usb_policy;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, put};

pub(crate) use audit::receipt;
pub use authenticate::DeviceSession;

use crate::app::App;
use crate::tokens::JWKS_PATH;
use crate::{management, reply};

const BODY_LIMIT: usize = 64 * 1024;

const SELF: &str = "/api/v1/device/self";
const BOOT: &str = "/api/v1/device/boot";
const RECOVERY_KEY: &str = "/api/v1/device/recovery-key";
const USB_POLICY: &str = "/api/v1/device/policy/usb";
const TOKEN: &str = "/api/v1/device/token";

const AUDIT_LOG: &str = "/api/v1/device/audit/logs/{log}";
const AUDIT_RECORDS: &str = "/api/v1/device/audit/logs/{log}/records/{first}";

/// Methods and paths of the device API, for the API's description.
pub const ROUTES: [(&str, &str); 9] = [
    ("get", SELF),
    ("put", BOOT),
    ("put", RECOVERY_KEY),
    ("get", USB_POLICY),
    ("post", TOKEN),
    ("get", AUDIT_LOG),
    ("put", AUDIT_LOG),
    ("put", AUDIT_RECORDS),
    ("get", JWKS_PATH),
];

/// The listener's routes.
pub fn router(app: &App) -> Router {
    let gate = Arc::new(authenticate::Gate::new(app.clone()));
    Router::new()
        .route(SELF, get(self_::show))
        .route(RECOVERY_KEY, put(recovery::put))
        .route(USB_POLICY, get(usb_policy::show))
        .merge(audit::router())
        .merge(boot::router())
        .merge(token::router())
        .route(JWKS_PATH, get(management::jwks))
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(gate, authenticate::authenticate))
        .layer(from_fn(reply::with_request_id))
        .with_state(app.clone())
}
