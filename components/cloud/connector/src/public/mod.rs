//! What everybody may know of the authority, over plain HTTP: revocation lists, CA certificates and
//! OCSP. All of it is signed, and none of it needs a client that is known.

mod certificate;
mod crl;
mod ocsp;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};

use crate::app::App;
use crate::reply;

/// An OCSP request for sixteen certificates has about 2 KiB.
const BODY_LIMIT: usize = 4 * 1024;
/// Seconds for which caches may keep what may change at any time.
const CACHE_CONTROL: &str = "max-age=60";

/// What the handlers share.
#[derive(Clone)]
struct Public {
    app: App,
    crls: Arc<crl::CrlCache>,
}

/// The listener's routes.
pub fn router(app: &App) -> Router {
    let public = Public { app: app.clone(), crls: Arc::default() };
    Router::new()
        .route("/ca/{file}", get(certificate::show))
        .route("/crl/{file}", get(crl::show))
        .route("/ocsp", post(ocsp::ask))
        .route("/ocsp/{*request}", get(ocsp::ask_by_path))
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn(reply::with_request_id))
        .with_state(public)
}
