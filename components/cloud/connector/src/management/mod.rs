//! The management API: `/api/v1/…` for operators and their programs, described in
//! `openapi.yaml`.

mod alerts;
mod api_keys;
mod audit_records;
mod auth;
mod authority;
mod device_audit;
mod devices;
mod ek_cas;
mod events;
mod groups;
mod health;
mod import;
mod recovery;
mod releases;
mod routes;
mod sites;
mod tokens;
pub mod types;
mod usb;

pub use auth::Caller;
pub use routes::{Route, router, routes};
pub(crate) use tokens::jwks;

/// The description of the API, as it is served under `/api/v1/openapi.yaml`.
pub const OPENAPI: &str = include_str!("../../openapi.yaml");
