//! The server's certificate, exchangeable while the server runs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::config::{TlsError, provider};
use crate::ca::ServerCertificate;

/// Gives every listener the present certificate.
pub struct ServerIdentity(RwLock<Arc<CertifiedKey>>);

impl ServerIdentity {
    /// Starts with a certificate.
    pub fn new(certificate: ServerCertificate) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(certified(certificate)?)))
    }

    /// Uses another one for new connections.
    pub fn replace(&self, certificate: ServerCertificate) -> Result<(), TlsError> {
        let key = certified(certificate)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }
}

fn certified(certificate: ServerCertificate) -> Result<Arc<CertifiedKey>, TlsError> {
    let key =
        provider().key_provider.load_private_key(certificate.key.into()).map_err(TlsError::Key)?;
    Ok(Arc::new(CertifiedKey::new(certificate.chain, key)))
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerIdentity")
    }
}
