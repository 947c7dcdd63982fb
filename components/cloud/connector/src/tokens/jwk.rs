//! Public keys as verifiers fetch them (RFC 7517, RFC 7518 section 6.2).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use holdfast_attestation::hash::sha256;
use serde::{Deserialize, Serialize};

/// A P-256 key that verifies ES256 signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    #[serde(rename = "use")]
    usage: String,
    alg: String,
    kid: String,
}

/// A set of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

impl Jwk {
    /// The key at this point, X9.62 uncompressed (0x04, x, y); `None` for anything else.
    pub(super) fn from_point(point: &[u8]) -> Option<Self> {
        let [4, coordinates @ ..] = point else { return None };
        if coordinates.len() != 64 {
            return None;
        }
        let (x, y) = coordinates.split_at(32);
        let [x, y] = [x, y].map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes));
        // RFC 7638, section 3: required members, in lexicographic order, without spaces.
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = BASE64_URL_SAFE_NO_PAD.encode(sha256(&[canonical.as_bytes()]));
        let text = str::to_owned;
        Some(Self {
            kty: text("EC"),
            crv: text("P-256"),
            x,
            y,
            usage: text("sig"),
            alg: text("ES256"),
            kid,
        })
    }

    /// The key's name in headers: its thumbprint (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_thumbprint() {
        let point = [&[4][..], &[1; 32], &[2; 32]].concat();
        let key = Jwk::from_point(&point).unwrap();
        // openssl dgst -sha256 -binary over the canonical form | basenc --base64url
        let x = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
        assert_eq!(key.x, x);
        assert_eq!(key.kid().len(), 43);
        let again: Jwk = serde_json::from_str(&serde_json::to_string(&key).unwrap()).unwrap();
        assert_eq!(again, key);
        for bad in [&point[1..], &point[..64], &[&[2][..], &[1; 32]].concat()] {
            assert!(Jwk::from_point(bad).is_none());
        }
    }
}
