//! Who we are to the connector, and whom we believe: the enroller's word.

use std::sync::Arc;

use holdfast_connection::certificate::{CertificateError, Chain};
use holdfast_connection::clock::{Clock, SystemTimeSource};
use holdfast_connection::tls;
use holdfast_connection::trust::{SiteTrust, TrustError};
use holdfast_ipc::identity::Identity1Proxy;
use holdfast_site::HttpsOrigin;
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use zbus::Connection;

use super::key::BusKey;

/// What a connection is made with.
pub struct Identity {
    /// The connector.
    pub server: HttpsOrigin,
    /// Mutual TLS with the device's certificate.
    pub tls: Arc<ClientConfig>,
    /// Who may sign for the connector.
    pub trust: SiteTrust,
    /// Whose receipts these are.
    pub device_id: String,
}

/// The device has no identity to speak with.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It is not enrolled, or the enroller does not run.
    #[error("the device has no identity yet: {0}")]
    NotYet(zbus::Error),
    /// The address.
    #[error("the connector's address cannot be used: {0}")]
    Address(String),
    /// The certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The roots.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Identity {
    /// Asks the enroller.
    pub async fn of_bus(bus: &Connection, key: BusKey) -> Result<Self, IdentityError> {
        let enroller = Identity1Proxy::new(bus).await.map_err(IdentityError::NotYet)?;
        let (url, roots, time) = enroller.get_connector().await.map_err(IdentityError::NotYet)?;
        let chain = enroller.get_certificate_chain().await.map_err(IdentityError::NotYet)?;
        let server = url.parse::<HttpsOrigin>().map_err(IdentityError::Address)?;
        let chain = Chain::from_pem(&chain)?;
        let roots: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(roots.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(CertificateError::Pem)?;
        // What the enroller knows of the time is a floor: the clock may have lost it.
        let clock = Arc::new(Clock::new(Box::<SystemTimeSource>::default(), 0));
        clock.remember(time);
        let trust = SiteTrust::new(roots.iter().map(AsRef::as_ref), clock)?;
        let tls = tls::mutual(&trust, &chain, key)?;
        Ok(Self { server, tls, trust, device_id: chain.device_id().to_owned() })
    }
}
