//! The maker's side: a document that waits for its signature.

use holdfast_jws::UnsignedEnvelope;

use crate::{MAX_POLICY_BYTES, Policy, TYPE};

/// A document cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// Devices would not take it.
    #[error("the document has {0} bytes, over the limit of {MAX_POLICY_BYTES}")]
    TooLong(usize),
    /// It could not be written.
    #[error("cannot write the document: {0}")]
    Json(#[from] serde_json::Error),
}

/// A document of which only the signature is missing.
#[derive(Clone, Debug)]
pub struct Unsigned(UnsignedEnvelope);

impl Unsigned {
    /// Prepares a document whose signer has this chain (DER, its own certificate first, without the
    /// root).
    pub fn new<D: AsRef<[u8]>>(policy: &Policy, chain: &[D]) -> Result<Self, MakeError> {
        let unsigned = UnsignedEnvelope::new(TYPE, chain, policy)?;
        let length = unsigned.signed_length();
        if length > MAX_POLICY_BYTES {
            return Err(MakeError::TooLong(length));
        }
        Ok(Self(unsigned))
    }

    /// The bytes that the signer's key has to sign, ECDSA on P-256 with SHA-256.
    pub fn signing_input(&self) -> &[u8] {
        self.0.signing_input()
    }

    /// The document, with the two numbers of the signature (RFC 7518, section 3.4).
    pub fn sign(self, signature: &[u8; 64]) -> String {
        self.0.sign(signature)
    }
}
