//! TLS client configurations: without a client certificate, and with the device's, whose key is
//! somewhere else.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::Resumption;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, SignatureScheme};
use rustls_pki_types::CertificateDer;

use crate::certificate::Chain;
use crate::trust::{SiteTrust, TrustError};

/// Sessions kept for resumption: there is one server.
const SESSIONS: usize = 4;

/// TLS 1.3 without a client certificate.
pub fn anonymous(trust: &SiteTrust) -> Result<Arc<ClientConfig>, TrustError> {
    Ok(Arc::new(builder(trust)?.with_no_client_auth()))
}

/// TLS 1.3 with the device's certificate; sessions are resumed.
pub fn mutual(
    trust: &SiteTrust,
    chain: &Chain,
    key: impl SigningKey + 'static,
) -> Result<Arc<ClientConfig>, TrustError> {
    authenticated(trust, chain, Arc::new(key), Resumption::in_memory_sessions(SESSIONS))
}

/// The same for renewals: evidence is bound to a connection, so each has a handshake of its own.
pub fn mutual_without_resumption(
    trust: &SiteTrust,
    chain: &Chain,
    key: impl SigningKey + 'static,
) -> Result<Arc<ClientConfig>, TrustError> {
    authenticated(trust, chain, Arc::new(key), Resumption::disabled())
}

fn authenticated(
    trust: &SiteTrust,
    chain: &Chain,
    key: Arc<dyn SigningKey>,
    resumption: Resumption,
) -> Result<Arc<ClientConfig>, TrustError> {
    let certificates = chain
        .to_der()
        .map_err(|error| TrustError::Tls(error.to_string()))?
        .into_iter()
        .map(CertificateDer::from)
        .collect();
    let certified = CertifiedKey::new(certificates, key);
    let mut config =
        builder(trust)?.with_client_cert_resolver(Arc::new(OneCertificate(Arc::new(certified))));
    config.resumption = resumption;
    Ok(Arc::new(config))
}

fn builder(
    trust: &SiteTrust,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, TrustError> {
    Ok(ClientConfig::builder_with_provider(trust.provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| TrustError::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(trust.verifier()))
}

#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

impl ResolvesClientCert for OneCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
