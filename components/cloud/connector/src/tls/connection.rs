//! What the layers above TLS may know of a connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_attestation::binding::{TLS_EXPORTER_LABEL, TLS_EXPORTER_LENGTH};
use rustls::{ProtocolVersion, ServerConnection};
use rustls_pki_types::CertificateDer;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A connection after its handshake, with `S` for what a listener keeps per connection.
#[derive(Debug)]
pub struct Connection<S = ()> {
    /// Unique within the process.
    pub id: u64,
    /// The other end.
    pub peer: SocketAddr,
    /// The client's certificate, verified against the listener's anchors.
    pub certificate: Option<CertificateDer<'static>>,
    /// The value that both ends derive from this TLS 1.3 connection alone; none over TLS 1.2.
    pub exporter: Option<[u8; TLS_EXPORTER_LENGTH]>,
    /// What the listener keeps.
    pub session: S,
}

impl<S: Default> Connection<S> {
    /// One without TLS: nothing is known of the other end.
    pub(super) fn plain(peer: SocketAddr) -> Self {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, peer, certificate: None, exporter: None, session: S::default() }
    }

    pub(super) fn new(peer: SocketAddr, tls: &ServerConnection) -> Self {
        let certificate = tls
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| certificate.clone().into_owned());
        let exporter = (tls.protocol_version() == Some(ProtocolVersion::TLSv1_3))
            .then(|| {
                let output = [0; TLS_EXPORTER_LENGTH];
                tls.export_keying_material(output, TLS_EXPORTER_LABEL, None).ok()
            })
            .flatten();
        Self { certificate, exporter, ..Self::plain(peer) }
    }
}
