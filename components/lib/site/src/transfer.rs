//! Leave to move to another site: the signature of the cloud to which a device belongs, over the
//! site configuration of the one to which it is to belong.

use serde::{Deserialize, Serialize};

use crate::pem::Anchor;
use crate::site::{MAX_LENGTH, Tenant};

const FORMAT: i64 = 1;
const DOMAIN: &[u8] = b"holdfast-site-transfer-v1\0";

/// The document `site.transfer` beside the `site.toml` that it is about. The signature is still to
/// be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The tenant to which devices belong that may move.
    pub tenant: Tenant,
    /// SHA-256 of the `site.toml` to which they may move.
    pub site_sha256: [u8; 32],
    /// The root of the cloud that lets them go.
    pub root: Anchor,
    /// Its signature over [`Self::message`], as X.509 has it: with ECDSA, DER.
    pub signature: Vec<u8>,
}

/// Why a text is no transfer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Over [`MAX_LENGTH`].
    #[error("site.transfer has {0} bytes, over the limit of {MAX_LENGTH}")]
    TooLong(usize),
    /// Not UTF-8, not TOML, or not the keys that belong there.
    #[error("site.transfer: {0}")]
    Syntax(String),
    /// A value that is not allowed.
    #[error("site.transfer: {key}: {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: i64,
    tenant: String,
    site_sha256: String,
    root: String,
    signature: String,
}

impl Transfer {
    /// What is signed: no certificate begins so, and nothing else that a CA signs.
    pub fn message(tenant: &Tenant, site_sha256: &[u8; 32]) -> Vec<u8> {
        [DOMAIN, site_sha256.as_slice(), tenant.as_str().as_bytes()].concat()
    }

    /// What this transfer's signature is to be of.
    pub fn signed(&self) -> Vec<u8> {
        Self::message(&self.tenant, &self.site_sha256)
    }

    /// Reads the document.
    pub fn parse(text: &[u8]) -> Result<Self, TransferError> {
        if text.len() > MAX_LENGTH {
            return Err(TransferError::TooLong(text.len()));
        }
        let text =
            core::str::from_utf8(text).map_err(|error| TransferError::Syntax(error.to_string()))?;
        let document: Document = toml::from_str(text)
            .map_err(|error| TransferError::Syntax(error.to_string().trim().replace('\n', "; ")))?;
        let value = |key| move |problem: String| TransferError::Value { key, problem };
        if document.format != FORMAT {
            let problem = format!("this program reads format {FORMAT}, not {}", document.format);
            return Err(value("format")(problem));
        }
        let mut site_sha256 = [0; 32];
        hex::decode_to_slice(&document.site_sha256, &mut site_sha256)
            .map_err(|error| value("site_sha256")(error.to_string()))?;
        Ok(Self {
            tenant: document.tenant.parse().map_err(value("tenant"))?,
            site_sha256,
            root: document.root.parse().map_err(value("root"))?,
            signature: hex::decode(&document.signature)
                .map_err(|error| value("signature")(error.to_string()))?,
        })
    }

    /// The text of this document; parsing it gives an equal value.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(&Document {
            format: FORMAT,
            tenant: self.tenant.as_str().to_owned(),
            site_sha256: hex::encode(self.site_sha256),
            root: self.root.pem().to_owned(),
            signature: hex::encode(&self.signature),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Site;

    const SITE: &str = include_str!("../tests/data/valid.toml");

    fn transfer() -> Transfer {
        let site = Site::parse(SITE.as_bytes()).unwrap();
        Transfer {
            tenant: "acme".parse().unwrap(),
            site_sha256: [7; 32],
            root: site.anchors()[0].clone(),
            signature: vec![0x30, 1, 2],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = transfer().to_toml().unwrap();
        assert_eq!(Transfer::parse(text.as_bytes()), Ok(transfer()));
    }

    #[test]
    fn tenant_and_site_are_both_signed() {
        let message = transfer().signed();
        let mut other = transfer();
        other.tenant = "acme-2".parse().unwrap();
        assert_ne!(other.signed(), message);
        other = transfer();
        other.site_sha256[0] ^= 1;
        assert_ne!(other.signed(), message);
        assert!(message.starts_with(b"holdfast-site-transfer-v1\0"));
    }

    #[test]
    fn faults_are_named() {
        let good = transfer().to_toml().unwrap();
        let table = [
            ("format = 1", "format = 2", "format: this program"),
            ("tenant = \"acme\"", "tenant = \"Acme!\"", "tenant:"),
            ("tenant = \"acme\"", "tenant = 7", "line 2"),
            ("site_sha256 = \"07", "site_sha256 = \"", "site_sha256:"),
            ("BEGIN CERTIFICATE", "BEGIN CERTIFICAT", "root:"),
            ("signature = \"30", "signature = \"3", "signature:"),
            ("format = 1", "format = 1\nmore = 1", "more"),
        ];
        for (from, to, part) in table {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            let error = Transfer::parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("site.transfer") && error.contains(part), "{to}: {error}");
        }
        assert!(Transfer::parse(&[0xff]).is_err());
        assert_eq!(
            Transfer::parse(&vec![b'#'; MAX_LENGTH + 1]),
            Err(TransferError::TooLong(MAX_LENGTH + 1))
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Transfer::parse(&bytes);
        }
    }
}
