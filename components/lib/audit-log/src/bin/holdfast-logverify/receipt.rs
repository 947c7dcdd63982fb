//! Receipts of the cloud: a compact JWS (RFC 7515) with ES256 that says up to where a log is stored.

use std::path::Path;

use holdfast_audit_log::verify::State;
use holdfast_audit_log::{Hash, Origin, RECEIPT_TYPE};
use holdfast_jws::{Envelope, EnvelopeError};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;

use crate::failure::Failure;
use crate::files;

/// What a receipt says, once its signature is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The log by the last part of its name.
    pub log: String,
    /// The log as the cloud has it.
    pub state: State,
}

impl Receipt {
    /// Reads a receipt and verifies it with its signer's public key.
    pub fn read(path: &Path, key: &Path) -> Result<Self, Failure> {
        let refused = |detail: String| {
            Failure::input(
                path,
                detail,
                "The receipt, or the key in --receipt-key, is not the right one. The key is that of \
                 the first certificate in the receipt's x5c; see holdfast-logverify(1).",
            )
        };
        let pem = files::read(key)?;
        let verifying =
            VerifyingKey::from_public_key_pem(&String::from_utf8_lossy(&pem)).map_err(|error| {
                let advice = "Expected a PEM file that begins with BEGIN PUBLIC KEY.";
                Failure::input(key, format!("not a public key on P-256: {error}"), advice)
            })?;
        let text = files::read(path)?;
        let text = str::from_utf8(&text).map_err(|_| refused("not a JWS: not UTF-8".to_owned()))?;
        Self::verify(text.trim_ascii(), &verifying).map_err(refused)
    }

    fn verify(text: &str, key: &VerifyingKey) -> Result<Self, String> {
        let envelope = Envelope::parse(text.as_bytes());
        let checked = envelope.and_then(|envelope| {
            envelope.header.check(RECEIPT_TYPE)?;
            Ok(envelope)
        });
        let told = |error: EnvelopeError| format!("not a receipt: {error}");
        let envelope = checked.map_err(told)?;
        let signature = Signature::from_slice(&envelope.signature)
            .map_err(|_| "the signature is not one of ES256")?;
        key.verify(envelope.signed, &signature)
            .map_err(|_| "the signature does not match the receipt and the key")?;
        let stated: holdfast_audit_log::Receipt = envelope.stated().map_err(told)?;
        let hash = |digits: &str| {
            let bytes = hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok());
            bytes.map(Hash::new).ok_or("head or root is not 64 hexadecimal digits")
        };
        let state =
            State { size: stated.size, root: hash(&stated.root)?, head: hash(&stated.head)? };
        Ok(Self { log: stated.log, state })
    }

    /// Whether it is of this log.
    pub fn is_of(&self, origin: &Origin) -> bool {
        origin.as_str().rsplit('/').next() == Some(self.log.as_str())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::Signer as _;

    use super::*;

    fn jws(header: &str, claims: &str) -> String {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature: Signature = signing().sign(signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn signing() -> SigningKey {
        SigningKey::from_slice(&[7; 32]).unwrap()
    }

    #[test]
    fn what_is_a_receipt() {
        const HEADER: &str = r#"{"alg":"ES256","typ":"holdfast-audit-receipt","x5c":[]}"#;
        let (head, root) = ("ab".repeat(32), "cd".repeat(32));
        let claims = |size: &str, root: &str| {
            format!(
                r#"{{"log":"3f9a","device_id":"x","size":{size},"head":"{head}","root":"{root}","time":1}}"#
            )
        };
        let key = *signing().verifying_key();
        let good = jws(HEADER, &claims("18", &root));
        let receipt = Receipt::verify(&good, &key).unwrap();
        assert_eq!((receipt.log.as_str(), receipt.state.size), ("3f9a", 18));
        assert!(receipt.is_of(&Origin::new("holdfast/audit/3f9a").unwrap()));
        assert!(!receipt.is_of(&Origin::new("holdfast/audit/3f9b").unwrap()));
        let other = *SigningKey::from_slice(&[8; 32]).unwrap().verifying_key();
        assert!(Receipt::verify(&good, &other).is_err());
        let swapped = {
            let another = jws(HEADER, &claims("19", &root));
            let parts = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
            [parts(&good)[0].clone(), parts(&another)[1].clone(), parts(&good)[2].clone()].join(".")
        };
        let table = [
            String::new(),
            "a.b".to_owned(),
            format!("{good}.x"),
            swapped,
            jws(&HEADER.replace("ES256", "none"), &claims("18", &root)),
            jws(&HEADER.replace(RECEIPT_TYPE, "JWT"), &claims("18", &root)),
            jws(HEADER, &claims("-1", &root)),
            jws(HEADER, &claims("18", "cd")),
        ];
        for bad in table {
            assert!(Receipt::verify(&bad, &key).is_err(), "{bad}");
        }
    }
}
