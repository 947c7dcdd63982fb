//! Programs that nobody here wrote, held against what Holdfast serves and makes. They need no
//! image; `cargo xtask test` installs them.
#![allow(clippy::unwrap_used, clippy::expect_used)] // also in the helpers of tests

mod api_contract;
mod client_certificates;
mod credential;
mod support;
mod tls_policy;
