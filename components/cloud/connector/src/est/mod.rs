//! Enrolment over Secure Transport (RFC 7030, RFC 8951) with attestation: a device proves its TPM,
//! its key and what it booted, in two requests on one connection.

mod cacerts;
mod enrol;
mod expectation;
mod limits;
mod nonce;
mod plain;
mod refusal;
mod renew;
mod session;
mod tpm_trust;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};

pub use limits::{EnrolmentRates, Limits};
pub use session::Session;

use crate::app::App;
use crate::reply;

/// A certificate request with evidence has about 4 KiB as base64.
const BODY_LIMIT: usize = 64 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub struct Est {
    app: App,
    limits: Arc<Limits>,
}

/// The listener's routes.
pub fn router(app: &App, rates: EnrolmentRates) -> Router {
    let est = Est { app: app.clone(), limits: Arc::new(Limits::new(rates)) };
    Router::new()
        .route("/.well-known/est/cacerts", get(cacerts::cacerts))
        .route("/.well-known/est/nonce", post(nonce::nonce))
        .route("/.well-known/est/simpleenroll", post(enrol::simpleenroll))
        .route("/.well-known/est/simplereenroll", post(renew::simplereenroll))
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn(reply::with_request_id))
        .with_state(est)
}
