//! The keys that other services may use through the daemon; filled by the agent, read by the
//! service.

use std::sync::{Arc, PoisonError, RwLock};

use holdfast_tpm::KeyBlob;

use crate::device_api::DeviceApi;

/// What is there so far.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// The device key with an accepted certificate.
    pub device: Option<Arc<KeyBlob>>,
    /// The key of audit checkpoints.
    pub audit: Option<Arc<KeyBlob>>,
    /// The accepted certificate and its issuers, in PEM.
    pub chain: Option<Arc<str>>,
    /// The connector, spoken to with that certificate.
    pub connector: Option<DeviceApi>,
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
