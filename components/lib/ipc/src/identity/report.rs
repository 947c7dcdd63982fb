//! Reports that the device signs: the bus's side of `holdfast-jws`.

use holdfast_jws::{Algorithm, NotAReport, Unsigned};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::Identity1Proxy;
use crate::allow_list::SignScheme;

/// Name of the key whose certificate the device shows.
const DEVICE_KEY: &str = "device";
/// A renewal between reading the certificate and signing is rare, two in a row are a fault.
const ATTEMPTS: usize = 3;

/// Why a report has no signature.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The identity service or the bus.
    #[error("the identity service did not sign: {0}")]
    Bus(#[from] zbus::Error),
    /// The report.
    #[error(transparent)]
    Report(#[from] NotAReport),
    /// The certificate.
    #[error("the identity service's certificate cannot be read: {0}")]
    Certificate(String),
    /// It changed each time.
    #[error("the certificate changed while the report was signed; sign again")]
    Renewed,
}

/// Signs a report with the device key: a detached JWS. The report is a JSON object with the
/// device's Edge ID in `edge_id`, and must be sent as exactly these bytes.
///
/// The caller's unit must be allowed to sign with key `device` and scheme `rsa-pss-sha256`; a TPM
/// that cannot make such signatures has them padded in software, so the algorithm is always PS256.
pub async fn sign_report(
    identity: &Identity1Proxy<'_>,
    report: &[u8],
) -> Result<String, ReportError> {
    let edge_id = identity.edge_id().await?;
    let mut pem = identity.get_certificate_chain().await?;
    for _ in 0..ATTEMPTS {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| ReportError::Certificate(error.to_string()))?;
        let unsigned = Unsigned::new(Algorithm::Ps256, &certificate, &edge_id, report)?;
        let scheme = SignScheme::RsaPssSha256.as_str();
        let signature = identity.sign(DEVICE_KEY, scheme, unsigned.digest()).await?;
        // The key may have been changed in between; then the header names the wrong one.
        let now = identity.get_certificate_chain().await?;
        if now == pem {
            return Ok(unsigned.sign(&signature));
        }
        pem = now;
    }
    Err(ReportError::Renewed)
}
