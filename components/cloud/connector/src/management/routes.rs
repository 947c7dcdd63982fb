//! The table of routes: what each needs, and who answers it.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, get, post};
use http::Method;

use super::{
    alerts, api_keys, audit_records, auth, authority, device_audit, devices, ek_cas, events,
    groups, health, import, recovery, releases, sites, tokens, usb,
};
use crate::access::Role;
use crate::app::App;
use crate::audit::Act;
use crate::reply;
use crate::tokens::JWKS_PATH;

/// A release's measurement is the largest body, but for a table of devices.
const BODY_LIMIT: usize = 256 * 1024;

/// One operation of the API.
pub struct Route {
    /// HTTP method.
    pub method: Method,
    /// Path, with parameters in braces.
    pub path: &'static str,
    /// Least role of the caller; none: open to everybody.
    pub role: Option<Role>,
    /// What an audit record calls it, if it changes something.
    pub act: Option<Act>,
    handler: MethodRouter<App>,
}

impl Route {
    fn open(path: &'static str, handler: MethodRouter<App>) -> Self {
        Self { method: Method::GET, path, role: None, act: None, handler }
    }

    fn read(path: &'static str, handler: MethodRouter<App>) -> Self {
        Self { role: Some(Role::Viewer), ..Self::open(path, handler) }
    }

    fn change(role: Role, act: Act, path: &'static str, handler: MethodRouter<App>) -> Self {
        Self { method: Method::POST, path, role: Some(role), act: Some(act), handler }
    }
}

/// Every operation.
pub fn routes() -> Vec<Route> {
    let mut all = device_routes();
    all.extend(other_routes());
    all
}

fn device_routes() -> Vec<Route> {
    use Role::{Admin, Operator};
    vec![
        Route::read("/api/v1/devices", get(devices::list)),
        Route::change(Operator, Act::Register, "/api/v1/devices", post(devices::register)),
        device_change(
            Act::Import,
            "/api/v1/devices/import",
            post(import::import).layer(DefaultBodyLimit::max(import::BODY_LIMIT)),
        ),
        Route::read("/api/v1/devices/{device}", get(devices::show)),
        device_change(Act::Approve, "/api/v1/devices/{device}/approve", post(devices::approve)),
        device_change(Act::Suspend, "/api/v1/devices/{device}/suspend", post(devices::suspend)),
        device_change(Act::Resume, "/api/v1/devices/{device}/resume", post(devices::resume)),
        device_change(Act::Revoke, "/api/v1/devices/{device}/revoke", post(devices::revoke)),
        device_change(Act::Retire, "/api/v1/devices/{device}/retire", post(devices::retire)),
        device_change(Act::Rebind, "/api/v1/devices/{device}/rebind", post(devices::rebind)),
        device_change(
            Act::ForgetFirmware,
            "/api/v1/devices/{device}/forget-firmware",
            post(devices::forget_firmware),
        ),
        device_change(
            Act::MoveGroup,
            "/api/v1/devices/{device}/move-group",
            post(devices::move_group),
        ),
        Route::read("/api/v1/devices/{device}/audit-logs", get(device_audit::logs)),
        Route::read("/api/v1/devices/{device}/audit-logs/{log}/export", get(device_audit::export)),
        Route::read("/api/v1/device-audit", get(device_audit::search)),
        Route::read("/api/v1/groups", get(groups::list)),
        Route::change(Admin, Act::SetGroup, "/api/v1/groups", post(groups::put)),
        Route::read("/api/v1/groups/{group}", get(groups::show)),
        Route::change(
            Admin,
            Act::RemoveGroup,
            "/api/v1/groups/{group}/remove",
            post(groups::remove),
        ),
        Route::read("/api/v1/groups/{group}/usb-policy", get(usb::of_group)),
        Route::change(
            Admin,
            Act::SetUsbPolicy,
            "/api/v1/groups/{group}/usb-policy",
            post(usb::set_of_group).layer(DefaultBodyLimit::max(usb::BODY_LIMIT)),
        ),
        Route::read("/api/v1/devices/{device}/usb", get(usb::devices)),
        Route::read("/api/v1/devices/{device}/usb-policy", get(usb::of_device)),
        Route::change(
            Admin,
            Act::SetUsbPolicy,
            "/api/v1/devices/{device}/usb-policy",
            post(usb::set_of_device).layer(DefaultBodyLimit::max(usb::BODY_LIMIT)),
        ),
        Route::read("/api/v1/recovery-keys", get(recovery::list)),
        Route::read("/api/v1/devices/{device}/recovery-key", get(recovery::show)),
        device_change(
            Act::ExportRecoveryKey,
            "/api/v1/devices/{device}/recovery-key/export",
            post(recovery::export),
        ),
    ]
}

fn other_routes() -> Vec<Route> {
    use Role::{Admin, Operator};
    vec![
        Route::open("/healthz", get(health::alive)),
        Route::open("/readyz", get(health::ready)),
        Route::open("/api/v1/openapi.yaml", get(health::openapi)),
        Route::read("/api/v1/authority", get(authority::show)),
        Route::read("/api/v1/releases", get(releases::list)),
        Route::change(Admin, Act::PublishRelease, "/api/v1/releases", post(releases::publish)),
        Route::change(
            Admin,
            Act::WithdrawRelease,
            "/api/v1/releases/{uki_sha256}/withdraw",
            post(releases::withdraw),
        ),
        Route::read("/api/v1/ek-cas", get(ek_cas::list)),
        Route::change(Admin, Act::AddEkCa, "/api/v1/ek-cas", post(ek_cas::add)),
        Route::change(
            Admin,
            Act::RemoveEkCa,
            "/api/v1/ek-cas/{sha256}/remove",
            post(ek_cas::remove),
        ),
        Route::read("/api/v1/sites", get(sites::list)),
        Route::change(Admin, Act::AddSite, "/api/v1/sites", post(sites::add)),
        Route::open(JWKS_PATH, get(tokens::jwks)),
        Route::read("/api/v1/token/audiences", get(tokens::audiences)),
        Route::change(
            Admin,
            Act::AddAudience,
            "/api/v1/token/audiences",
            post(tokens::add_audience),
        ),
        Route::change(
            Admin,
            Act::RemoveAudience,
            "/api/v1/token/audiences/remove",
            post(tokens::remove_audience),
        ),
        Route::read("/api/v1/token/keys", get(tokens::keys)),
        Route::change(
            Admin,
            Act::RotateTokenKeys,
            "/api/v1/token/keys/rotate",
            post(tokens::rotate_keys),
        ),
        Route::read("/api/v1/events", get(events::list)),
        Route::read("/api/v1/alerts", get(alerts::list)),
        Route::change(
            Operator,
            Act::AcknowledgeAlert,
            "/api/v1/alerts/{id}/acknowledge",
            post(alerts::acknowledge),
        ),
        Route::read("/api/v1/audit", get(audit_records::list)),
        Route { role: Some(Admin), ..Route::read("/api/v1/api-keys", get(api_keys::list)) },
        Route::change(Admin, Act::CreateApiKey, "/api/v1/api-keys", post(api_keys::create)),
        Route::change(
            Admin,
            Act::RevokeApiKey,
            "/api/v1/api-keys/{id}/revoke",
            post(api_keys::revoke),
        ),
    ]
}

fn device_change(act: Act, path: &'static str, handler: MethodRouter<App>) -> Route {
    Route::change(Role::Operator, act, path, handler)
}

/// The API, ready to be served.
pub fn router(app: &App) -> Router {
    let mut router = Router::new();
    for Route { path, role, act, handler, .. } in routes() {
        let guarded = match role {
            None => handler,
            Some(role) => handler.route_layer(axum::middleware::from_fn_with_state(
                auth::Guard { app: app.clone(), role, act },
                auth::guard,
            )),
        };
        router = router.route(path, guarded);
    }
    router
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(axum::middleware::from_fn(reply::with_request_id))
        .with_state(app.clone())
}
