//! Who this device is, and whose policies it believes, as the enroller says.

use std::time::{SystemTime, UNIX_EPOCH};

use holdfast_ipc::identity::Identity1Proxy;
use holdfast_policy_document::{Expectation, Kind, ReadPolicy, VerifyError, verify};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject as _};
use zbus::Connection;
use zbus::proxy::CacheProperties;

/// The enroller does not say who this device is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It is not there, or the device has no identity yet.
    #[error("the device has no identity yet to judge a policy by: {0}")]
    NotYet(#[from] zbus::Error),
    /// Its answer cannot be read.
    #[error("the enroller's roots are no PEM: {0}")]
    Roots(#[from] pem::Error),
}

/// What a policy is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// Id that the cloud gave this device.
    pub device_id: String,
    /// Its name.
    pub edge_id: String,
    /// The site's trust anchors, DER.
    pub roots: Vec<Vec<u8>>,
    /// Seconds since 1970, as far as this device knows.
    pub now: u64,
}

impl DeviceIdentity {
    /// Asks the enroller.
    pub async fn of_bus(bus: &Connection) -> Result<Self, IdentityError> {
        let enroller = Identity1Proxy::builder(bus).cache_properties(CacheProperties::No);
        let enroller = enroller.build().await?;
        let (_, roots, time) = enroller.get_connector().await?;
        let roots = CertificateDer::pem_slice_iter(roots.as_bytes())
            .map(|root| root.map(|der| der.to_vec()))
            .collect::<Result<_, _>>()?;
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        Ok(Self {
            device_id: enroller.device_id().await?,
            edge_id: enroller.edge_id().await?,
            roots,
            // What the enroller knows of the time is a floor: the clock may have lost it.
            now: clock.max(time),
        })
    }

    /// Judges a policy about USB, after the one that was taken last.
    pub fn judge(
        &self,
        document: &[u8],
        taken: Option<&ReadPolicy>,
    ) -> Result<ReadPolicy, VerifyError> {
        let expected = Expectation {
            kind: Kind::Usb,
            device_id: &self.device_id,
            edge_id: &self.edge_id,
            roots: &self.roots,
            now: self.now,
            floor: taken,
        };
        verify(document, &expected)
    }
}
