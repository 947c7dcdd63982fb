//! What a document holds, before anything is believed.

use holdfast_jws::{Envelope, EnvelopeError};
use sha2::{Digest as _, Sha256};

use crate::{MAX_POLICY_BYTES, Policy};

/// A text that is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Over the limit.
    #[error("the document has {0} bytes, over the limit of {MAX_POLICY_BYTES}")]
    TooLong(usize),
    /// It cannot be read.
    #[error("the document cannot be taken: {0}")]
    Envelope(#[from] EnvelopeError),
}

/// What a document says. Whether that is true is known of one that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPolicy {
    /// The payload.
    pub policy: Policy,
    /// SHA-256 of the payload's bytes. Signatures of one payload differ.
    pub payload_sha256: [u8; 32],
}

/// Reads a document without verifying anything: to name it, or because it was verified before.
pub fn read_unverified(document: &[u8]) -> Result<ReadPolicy, FormError> {
    payload(&open(document)?)
}

pub(crate) fn payload(envelope: &Envelope<'_>) -> Result<ReadPolicy, FormError> {
    let payload_sha256 = Sha256::digest(&envelope.payload).into();
    Ok(ReadPolicy { policy: envelope.stated()?, payload_sha256 })
}

pub(crate) fn open(document: &[u8]) -> Result<Envelope<'_>, FormError> {
    if document.len() > MAX_POLICY_BYTES {
        return Err(FormError::TooLong(document.len()));
    }
    Ok(Envelope::parse(document)?)
}
