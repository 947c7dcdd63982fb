//! Receipts of the connector: only what it has signed for is deleted here.
//!
//! JWS in compact serialization, ES256, with the signer's chain in `x5c` (RFC 7515).

use holdfast_attestation::oid::PURPOSE_AUDIT_RECEIPT;
use holdfast_audit_log::{RECEIPT_TYPE, Receipt};
use holdfast_connection::trust::{SiteTrust, TrustError};
use holdfast_jws::{Envelope, EnvelopeError};

/// Longest receipt that is read, bytes.
const LONGEST: usize = 64 * 1024;

/// Why a receipt is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// It is not of the agreed form.
    #[error("the receipt cannot be read: {0}")]
    Form(#[from] EnvelopeError),
    /// Over the limit.
    #[error("the receipt has {0} bytes, over the limit of {LONGEST}")]
    TooLong(usize),
    /// Its signature is none.
    #[error("the receipt's signature cannot be read: {0}")]
    Signature(p256::ecdsa::Error),
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

/// Reads a receipt that the connector signed for this device's log.
pub fn verify(
    text: &str,
    trust: &SiteTrust,
    log: &str,
    device_id: &str,
) -> Result<Receipt, ReceiptError> {
    if text.len() > LONGEST {
        return Err(ReceiptError::TooLong(text.len()));
    }
    let envelope = Envelope::parse(text.as_bytes())?;
    envelope.header.check(RECEIPT_TYPE)?;
    let signature = p256::ecdsa::Signature::from_slice(&envelope.signature);
    let signature = signature.map_err(ReceiptError::Signature)?.to_der();
    let chain = envelope.header.chain()?;
    trust.check_signed(&chain, &PURPOSE_AUDIT_RECEIPT, envelope.signed, signature.as_bytes())?;
    let receipt: Receipt = envelope.stated()?;
    for (found, expected) in [(&receipt.log, log), (&receipt.device_id, device_id)] {
        if found != expected {
            let (found, expected) = (found.clone(), expected.to_owned());
            return Err(ReceiptError::Other { found, expected });
        }
    }
    Ok(receipt)
}
