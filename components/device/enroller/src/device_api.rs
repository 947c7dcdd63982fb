//! The connector's device API, over mutual TLS.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_site::HttpsOrigin;
use http::{Method, StatusCode};
use rustls::ClientConfig;
use serde::Deserialize;

use crate::clock::Validity;
use crate::peer::{Body, Peer, PeerError};
use crate::refusal::Rejection;

const SELF_PATH: &str = "/api/v1/device/self";
const USB_POLICY_PATH: &str = "/api/v1/device/policy/usb";
const TOKEN_PATH: &str = "/api/v1/device/token";

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

/// A token for a third party.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IssuedToken {
    /// A JWT.
    pub token: String,
    /// Its end, in seconds since 1970.
    pub expires: u64,
}

/// What the server says of the device's USB ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyReply {
    /// Nothing: the device keeps what it has.
    Nothing,
    /// What the device has already.
    Known,
    /// A signed document.
    Document(String),
    /// It refused.
    Refused(Rejection),
}

/// The connector as one certificate sees it; clones share its TLS sessions.
#[derive(Debug, Clone)]
pub struct DeviceApi {
    server: HttpsOrigin,
    tls: Arc<ClientConfig>,
}

impl DeviceApi {
    /// The API at this address, with this certificate.
    pub fn new(server: HttpsOrigin, tls: Arc<ClientConfig>) -> Self {
        Self { server, tls }
    }

    /// Asks the server what it knows about the device.
    pub async fn ask_self(&self) -> Result<Reply, PeerError> {
        let mut peer = Peer::connect(&self.server, Arc::clone(&self.tls)).await?;
        let answer = peer.send(Method::GET, SELF_PATH, None).await?;
        if answer.status != StatusCode::OK {
            return Ok(Reply::Refused(Rejection::from_answer(&answer)));
        }
        let report = serde_json::from_slice(&answer.body)
            .map_err(|error| peer.protocol(&format!("the report of {SELF_PATH}: {error}")))?;
        Ok(Reply::Report { report, server_certificate: peer.certificate() })
    }

    /// Hands something over, as JSON. Returns the answer's body.
    pub async fn put(
        &self,
        path: &str,
        content: Vec<u8>,
    ) -> Result<Result<Bytes, Rejection>, PeerError> {
        let mut peer = Peer::connect(&self.server, Arc::clone(&self.tls)).await?;
        let body = Body::new("application/json", content);
        let answer = peer.send(Method::PUT, path, Some(body)).await?;
        Ok(if answer.status.is_success() {
            Ok(answer.body)
        } else {
            Err(Rejection::from_answer(&answer))
        })
    }

    /// Asks what is said of the device's USB ports, unless that is this version still.
    pub async fn ask_usb_policy(&self, known: Option<u64>) -> Result<PolicyReply, PeerError> {
        let mut peer = Peer::connect(&self.server, Arc::clone(&self.tls)).await?;
        let tag = known.map(|version| format!("\"{version}\""));
        let answer = peer.get_unless(USB_POLICY_PATH, tag.as_deref()).await?;
        Ok(match answer.status {
            StatusCode::NO_CONTENT => PolicyReply::Nothing,
            StatusCode::NOT_MODIFIED => PolicyReply::Known,
            StatusCode::OK => {
                let document = String::from_utf8(answer.body.to_vec());
                PolicyReply::Document(document.map_err(|error| {
                    peer.protocol(&format!("the answer of {USB_POLICY_PATH}: {error}"))
                })?)
            }
            _ => PolicyReply::Refused(Rejection::from_answer(&answer)),
        })
    }

    /// Asks for a token for an audience.
    pub async fn ask_token(
        &self,
        audience: &str,
    ) -> Result<Result<IssuedToken, Rejection>, PeerError> {
        let mut peer = Peer::connect(&self.server, Arc::clone(&self.tls)).await?;
        let content = serde_json::json!({ "audience": audience }).to_string().into_bytes();
        let body = Body::new("application/json", content);
        let answer = peer.send(Method::POST, TOKEN_PATH, Some(body)).await?;
        if answer.status != StatusCode::OK {
            return Ok(Err(Rejection::from_answer(&answer)));
        }
        let issued = serde_json::from_slice(&answer.body)
            .map_err(|error| peer.protocol(&format!("the answer of {TOKEN_PATH}: {error}")))?;
        Ok(Ok(issued))
    }
}
