//! The three parts and what they hold, before anything is believed.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{MAX_POLICY_BYTES, Policy};

/// A text that is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Over the limit.
    #[error("the document has {0} bytes, over the limit of {MAX_POLICY_BYTES}")]
    TooLong(usize),
    /// Not three parts between dots.
    #[error("the document has not three parts between dots")]
    Parts,
    /// A part cannot be read.
    #[error("the document's {part}: {reason}")]
    Part {
        /// `header`, `payload` or `signature`.
        part: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// Exactly what these documents carry, in this order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) typ: String,
    /// The signer's certificate, then what leads to the root (RFC 7515, section 4.1.6).
    pub(crate) x5c: Vec<String>,
}

/// A document in its parts.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) header: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    #[cfg_attr(not(feature = "verifier"), allow(dead_code))]
    pub(crate) signature: Vec<u8>,
    /// What is signed (RFC 7515, section 5.1).
    #[cfg_attr(not(feature = "verifier"), allow(dead_code))]
    pub(crate) signed: &'a [u8],
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
    let parts = split(document)?;
    json::<Header>("header", &parts.header)?;
    payload(&parts.payload)
}

pub(crate) fn payload(bytes: &[u8]) -> Result<ReadPolicy, FormError> {
    let policy = json("payload", bytes)?;
    Ok(ReadPolicy { policy, payload_sha256: Sha256::digest(bytes).into() })
}

pub(crate) fn split(document: &[u8]) -> Result<Parts<'_>, FormError> {
    if document.len() > MAX_POLICY_BYTES {
        return Err(FormError::TooLong(document.len()));
    }
    let mut parts = document.split(|byte| *byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(FormError::Parts);
    };
    Ok(Parts {
        header: decode("header", header)?,
        payload: decode("payload", payload)?,
        signature: decode("signature", signature)?,
        signed: &document[..=header.len() + payload.len()],
    })
}

fn decode(part: &'static str, text: &[u8]) -> Result<Vec<u8>, FormError> {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(text);
    decoded.map_err(|error| FormError::Part { part, reason: error.to_string() })
}

/// An object and nothing else: serde takes a list of the fields for one as well.
pub(crate) fn json<'a, T: Deserialize<'a>>(
    part: &'static str,
    bytes: &'a [u8],
) -> Result<T, FormError> {
    let wrong = |reason: String| FormError::Part { part, reason };
    if bytes.first() != Some(&b'{') {
        return Err(wrong("not a JSON object".to_owned()));
    }
    serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))
}
