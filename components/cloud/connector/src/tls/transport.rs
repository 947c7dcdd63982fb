//! What is between TCP and HTTP.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;

/// A TLS configuration that can be exchanged while its listener serves: it holds for connections
/// from then on, and nothing of it, no session to resume either, outlives the exchange.
pub struct SharedTls(RwLock<Arc<ServerConfig>>);

impl SharedTls {
    /// Starts with a configuration.
    pub fn new(config: ServerConfig) -> Self {
        Self(RwLock::new(Arc::new(config)))
    }

    /// The one in use.
    pub fn get(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses that of another one for new connections.
    pub fn replace_with(&self, other: &Self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = other.get();
    }
}

impl fmt::Debug for SharedTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedTls")
    }
}

/// How a listener speaks.
#[derive(Clone, Debug)]
pub enum Transport {
    /// TLS.
    Tls(Arc<SharedTls>),
    /// Nothing: plain HTTP, for what is signed by itself.
    Plain,
}

impl From<ServerConfig> for Transport {
    fn from(config: ServerConfig) -> Self {
        Self::Tls(Arc::new(SharedTls::new(config)))
    }
}

impl From<Arc<SharedTls>> for Transport {
    fn from(tls: Arc<SharedTls>) -> Self {
        Self::Tls(tls)
    }
}
