//! The protected header.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Algorithm;

/// The one extension in use; who does not know it must refuse the signature (RFC 7797, section 6).
pub(crate) const UNENCODED: &str = "b64";

/// Exactly what these signatures carry, in this order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) alg: Algorithm,
    pub(crate) b64: bool,
    pub(crate) crit: Vec<String>,
    /// SHA-256 of the certificate's DER (RFC 7515, section 4.1.8).
    #[serde(rename = "x5t#S256")]
    pub(crate) certificate_thumbprint: String,
}

impl Header {
    pub(crate) fn new(alg: Algorithm, certificate_der: &[u8]) -> Self {
        Self {
            alg,
            b64: false,
            crit: vec![UNENCODED.to_owned()],
            certificate_thumbprint: thumbprint(certificate_der),
        }
    }
}

/// `x5t#S256` of a certificate: base64url of the SHA-256 of its DER.
pub fn thumbprint(certificate_der: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(certificate_der))
}

/// SHA-256 of what is signed (RFC 7797, section 3).
pub(crate) fn signing_digest(protected: &str, payload: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(protected).chain_update(b".").chain_update(payload).finalize().into()
}
