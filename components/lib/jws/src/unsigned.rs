//! The maker's side: a report that waits for its signature.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::Algorithm;
use crate::header::{Header, signing_digest};

/// The payload is not a report of this device.
#[derive(Debug, thiserror::Error)]
pub enum NotAReport {
    /// Not a JSON object with a text `edge_id`.
    #[error("a report is a JSON object with the member \"edge_id\": {0}")]
    Form(#[from] serde_json::Error),
    /// Of another device.
    #[error("the report is of Edge ID {found:?}, this device is {expected:?}")]
    OtherDevice {
        /// In the report.
        found: String,
        /// The device's own.
        expected: String,
    },
}

/// What every report holds, whatever else it says.
#[derive(Deserialize)]
struct Bound {
    edge_id: String,
}

/// Checks that a payload speaks of this device.
pub(crate) fn bound_to(payload: &[u8], edge_id: &str) -> Result<(), NotAReport> {
    let Bound { edge_id: found } = serde_json::from_slice(payload)?;
    if found == edge_id {
        return Ok(());
    }
    Err(NotAReport::OtherDevice { found, expected: edge_id.to_owned() })
}

/// A report of which only the signature is missing.
#[derive(Clone, Debug)]
pub struct Unsigned {
    protected: String,
    digest: [u8; 32],
}

impl Unsigned {
    /// Prepares the signature of a report by the key of this certificate (DER).
    pub fn new(
        algorithm: Algorithm,
        certificate_der: &[u8],
        edge_id: &str,
        payload: &[u8],
    ) -> Result<Self, NotAReport> {
        bound_to(payload, edge_id)?;
        let header = serde_json::to_vec(&Header::new(algorithm, certificate_der))?;
        let protected = BASE64_URL_SAFE_NO_PAD.encode(header);
        let digest = signing_digest(&protected, payload);
        Ok(Self { protected, digest })
    }

    /// The SHA-256 digest that the device key has to sign by the algorithm.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The JWS without its payload.
    pub fn sign(self, signature: &[u8]) -> String {
        format!("{}..{}", self.protected, BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}
