//! The keys that other services may use through the daemon; filled by the agent, read by the
//! service.

use std::sync::{Arc, PoisonError, RwLock};

use holdfast_tpm::KeyBlob;

use crate::certificate::Chain;
use crate::device_api::DeviceApi;
use crate::trust::SiteTrust;

/// What is there so far.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// The device key with an accepted certificate.
    pub device: Option<Arc<KeyBlob>>,
    /// The attestation key.
    pub attestation: Option<Arc<KeyBlob>>,
    /// The key of audit checkpoints.
    pub audit: Option<Arc<KeyBlob>>,
    /// The accepted certificate and its issuers, in PEM.
    pub chain: Option<Arc<str>>,
    /// What the certificate must lead to.
    pub trust: Option<SiteTrust>,
    /// Where the connector is, and the roots that are trusted, PEM.
    pub site: Option<Arc<(String, String)>>,
    /// The connector, spoken to with that certificate.
    pub connector: Option<DeviceApi>,
}

impl Keys {
    /// Whether the certificate leads to the roots that the device trusts, if there is one.
    pub fn chain_verifies(&self) -> Option<Result<(), String>> {
        let (chain, trust) = (self.chain.as_ref()?, self.trust.as_ref()?);
        let chain = Chain::from_pem(chain).map_err(|error| error.to_string());
        Some(chain.and_then(|chain| trust.check_issued(&chain).map_err(|error| error.to_string())))
    }
}

/// A shared set of keys; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Keyring(Arc<RwLock<Keys>>);

impl Keyring {
    /// What is there now.
    pub fn keys(&self) -> Keys {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is there.
    pub fn update(&self, change: impl FnOnce(&mut Keys)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}
