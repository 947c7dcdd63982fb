//! `GET /api/v1/device/self`: the server's view of this device, over mutual TLS.

use std::sync::Arc;

use holdfast_site::HttpsOrigin;
use http::{Method, StatusCode};
use rustls::ClientConfig;
use serde::Deserialize;

use crate::clock::Validity;
use crate::peer::{Peer, PeerError};
use crate::refusal::Rejection;

const SELF_PATH: &str = "/api/v1/device/self";

/// What the server says about the device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SelfReport {
    /// The id that the server gave the device.
    pub device_id: String,
    /// The device's name.
    pub edge_id: String,
    /// Its state in the registry, `active` if all is well.
    pub state: String,
    /// The tenant.
    pub tenant: String,
    /// The server's time in seconds since 1970.
    pub time: u64,
}

/// The server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It knows the device.
    Report {
        /// What it says.
        report: SelfReport,
        /// When its own certificate is valid.
        server_certificate: Validity,
    },
    /// It refused.
    Refused(Rejection),
}

/// Asks the server what it knows about the device.
pub async fn ask_self(server: &HttpsOrigin, tls: Arc<ClientConfig>) -> Result<Reply, PeerError> {
    let mut peer = Peer::connect(server, tls).await?;
    let answer = peer.send(Method::GET, SELF_PATH, None).await?;
    if answer.status != StatusCode::OK {
        return Ok(Reply::Refused(Rejection::from_answer(&answer)));
    }
    let report = serde_json::from_slice(&answer.body)
        .map_err(|error| peer.protocol(&format!("the report of {SELF_PATH}: {error}")))?;
    Ok(Reply::Report { report, server_certificate: peer.certificate() })
}
