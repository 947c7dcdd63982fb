//! Receipts of the connector: only what it has signed for is deleted here.
//!
//! JWS in compact serialization, ES256, with the signer's chain in `x5c` (RFC 7515).

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use holdfast_attestation::oid::PURPOSE_AUDIT_RECEIPT;
use holdfast_connection::trust::{SiteTrust, TrustError};
use serde::Deserialize;

const TYPE: &str = "holdfast-audit-receipt";
const ALGORITHM: &str = "ES256";
/// Longest receipt that is read, bytes.
const LONGEST: usize = 64 * 1024;

/// What the connector signed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// The log's id.
    pub log: String,
    /// Whose log it is.
    pub device_id: String,
    /// Records that are stored.
    pub size: u64,
    /// Hash of the last, hexadecimal.
    pub head: String,
    /// Root of the tree over them, hexadecimal.
    pub root: String,
    /// When, seconds since 1970.
    pub time: u64,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    x5c: Vec<String>,
}

/// Why a receipt is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// It is not of the agreed form.
    #[error("the receipt cannot be read: {0}")]
    Form(String),
    /// It is not signed by the site's connector for this purpose.
    #[error("the receipt is not believed: {0}")]
    Signer(#[from] TrustError),
    /// It is about something else.
    #[error("the receipt is of {found}, not of {expected}")]
    Other {
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
}

impl Receipt {
    /// Reads a receipt that the connector signed for this device's log.
    pub fn verify(
        text: &str,
        trust: &SiteTrust,
        log: &str,
        device_id: &str,
    ) -> Result<Self, ReceiptError> {
        let form = |what: &dyn std::fmt::Display| ReceiptError::Form(what.to_string());
        if text.len() > LONGEST {
            return Err(form(&"it is too long"));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form(&"it has not three parts"));
        };
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|e| form(&e));
        let parsed: Header =
            serde_json::from_slice(&decode(header)?).map_err(|error| form(&error))?;
        if parsed.alg != ALGORITHM || parsed.typ != TYPE {
            return Err(form(&format!("{} {}, not {ALGORITHM} {TYPE}", parsed.alg, parsed.typ)));
        }
        let chain = parsed.x5c.iter().map(|der| BASE64_STANDARD.decode(der));
        let chain: Vec<Vec<u8>> = chain.collect::<Result<_, _>>().map_err(|error| form(&error))?;
        let signature = p256::ecdsa::Signature::from_slice(&decode(signature)?);
        let signature = signature.map_err(|error| form(&error))?.to_der();
        let signed = &text.as_bytes()[..header.len() + 1 + payload.len()];
        trust.check_signed(&chain, &PURPOSE_AUDIT_RECEIPT, signed, signature.as_bytes())?;
        let receipt: Self =
            serde_json::from_slice(&decode(payload)?).map_err(|error| form(&error))?;
        for (found, expected) in [(&receipt.log, log), (&receipt.device_id, device_id)] {
            if found != expected {
                let (found, expected) = (found.clone(), expected.to_owned());
                return Err(ReceiptError::Other { found, expected });
            }
        }
        Ok(receipt)
    }
}
