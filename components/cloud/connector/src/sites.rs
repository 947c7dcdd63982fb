//! Site configurations: made and signed here, measured by the devices that boot with them.

use holdfast_attestation::hash::sha256;
use holdfast_attestation::pcr::expected_site_pcr;
use holdfast_site::SiteError;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::registry::{Digest, Tenant, TenantError};

/// A site configuration that devices may have booted with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// SHA-256 of the document; what a device extends into its site PCR.
    pub sha256: Digest,
    /// Owner of the devices.
    pub tenant: Tenant,
    /// site.toml
    pub document: String,
    /// site.toml.sig; empty where the operator added the document without it.
    #[serde(with = "hex")]
    pub signature: Vec<u8>,
    /// When it was added.
    #[serde(with = "time::serde::rfc3339")]
    pub added_at: OffsetDateTime,
    /// By whom.
    pub added_by: String,
}

/// Why a document is not a usable site configuration.
#[derive(Debug, thiserror::Error)]
pub enum SiteDocumentError {
    /// It does not parse.
    #[error(transparent)]
    Document(#[from] SiteError),
    /// Its tenant is not one here.
    #[error(transparent)]
    Tenant(#[from] TenantError),
}

impl Site {
    /// Checks a document and takes its tenant from it.
    pub fn new(
        document: String,
        signature: Vec<u8>,
        at: OffsetDateTime,
        by: String,
    ) -> Result<Self, SiteDocumentError> {
        let parsed = holdfast_site::Site::parse(document.as_bytes())?;
        Ok(Self {
            sha256: Digest(sha256(&[document.as_bytes()])),
            tenant: parsed.tenant.as_str().parse()?,
            document,
            signature,
            added_at: at,
            added_by: by,
        })
    }

    /// The site PCR of a device that booted with it.
    pub fn pcr(&self) -> [u8; 32] {
        expected_site_pcr(self.document.as_bytes())
    }
}

/// Signs a document: ECDSA P-256 with SHA-256, DER.
pub fn sign(key: &SigningKey, document: &[u8]) -> Vec<u8> {
    let signature: DerSignature = key.sign(document);
    signature.as_bytes().to_vec()
}
