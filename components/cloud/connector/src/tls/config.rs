//! TLS policy of each listener. The provider is chosen here and nowhere else: no listener uses
//! the process's default.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::CertificateDer;

use super::ServerIdentity;

/// Sessions kept for resumption; one is about 1 KiB.
const SESSIONS: usize = 4096;

/// Why a listener cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls refused it.
    #[error("TLS cannot be configured: {0}")]
    Rustls(#[from] rustls::Error),
    /// The anchors for client certificates are unusable.
    #[error("client certificates cannot be verified: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The server's key is unusable.
    #[error("the server's key is not usable: {0}")]
    Key(rustls::Error),
}

/// The cryptography of the server.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Enrolment: TLS 1.3, and 1.2 for EST clients that know no better; a client certificate may be
/// shown.
pub fn enrolment_config(
    identity: Arc<ServerIdentity>,
    anchors: &[CertificateDer<'_>],
) -> Result<ServerConfig, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(store(anchors)?, provider())
        .allow_unauthenticated()
        .build()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity);
    // Every enrolment is a full handshake: a resumed TLS 1.2 session would repeat its exporter.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The device API: TLS 1.3 and a client certificate, or no connection.
pub fn device_config(
    identity: Arc<ServerIdentity>,
    anchors: &[CertificateDer<'_>],
) -> Result<ServerConfig, TlsError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(store(anchors)?, provider()).build()?;
    let mut config =
        tls13(&[&version::TLS13])?.with_client_cert_verifier(verifier).with_cert_resolver(identity);
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The management API: TLS 1.3; callers show an API key.
pub fn management_config(identity: Arc<ServerIdentity>) -> Result<ServerConfig, TlsError> {
    let mut config = tls13(&[&version::TLS13])?.with_no_client_auth().with_cert_resolver(identity);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn tls13(
    versions: &[&'static SupportedProtocolVersion],
) -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, TlsError> {
    Ok(ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?)
}

fn store(anchors: &[CertificateDer<'_>]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for anchor in anchors {
        store.add(anchor.clone().into_owned())?;
    }
    Ok(Arc::new(store))
}
