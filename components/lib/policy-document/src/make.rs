//! The maker's side: a document that waits for its signature.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use crate::form::Header;
use crate::{ALGORITHM, MAX_POLICY_BYTES, Policy, TYPE};

/// Characters of an ES256 signature, with the dot before it.
const SIGNATURE: usize = 87;

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
pub struct Unsigned(String);

impl Unsigned {
    /// Prepares a document whose signer has this chain (DER, its own certificate first, without the
    /// root).
    pub fn new<D: AsRef<[u8]>>(policy: &Policy, chain: &[D]) -> Result<Self, MakeError> {
        let header = Header {
            alg: ALGORITHM.to_owned(),
            typ: TYPE.to_owned(),
            x5c: chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect(),
        };
        let encode = |json: Vec<u8>| BASE64_URL_SAFE_NO_PAD.encode(json);
        let header = encode(serde_json::to_vec(&header)?);
        let input = format!("{header}.{}", encode(serde_json::to_vec(policy)?));
        if input.len() + SIGNATURE > MAX_POLICY_BYTES {
            return Err(MakeError::TooLong(input.len() + SIGNATURE));
        }
        Ok(Self(input))
    }

    /// The bytes that the signer's key has to sign, ECDSA on P-256 with SHA-256.
    pub fn signing_input(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The document, with the two numbers of the signature (RFC 7518, section 3.4).
    pub fn sign(self, signature: &[u8; 64]) -> String {
        format!("{}.{}", self.0, BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}
