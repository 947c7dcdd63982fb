//! Whom the device believes: servers whose certificate chains to the site's anchors, and device
//! certificates that do. Never the web's CAs.

use std::sync::Arc;

use holdfast_attestation::oid::HoldfastOid;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::certificate::{self, Chain};
use crate::clock::Clock;

/// The site's anchors could not be used, or a chain does not lead to them.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A certificate that is no usable anchor.
    #[error("trust anchor {number} of the site configuration cannot be used: {reason}")]
    Anchor {
        /// Its place in the list, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate that the server issued does not lead to an anchor.
    #[error("the issued certificate does not chain to the site's trust anchors: {0}")]
    Issued(String),
    /// A signer's certificate does not lead to an anchor, or the signature is not by its key.
    #[error("the signature is not by a signer of this site: {0}")]
    Signer(String),
    /// Rustls refused the configuration.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// The site's anchors, with the clock by which certificates are judged.
#[derive(Debug, Clone)]
pub struct SiteTrust {
    anchors: Arc<Vec<TrustAnchor<'static>>>,
    provider: Arc<CryptoProvider>,
    verifier: Arc<SiteVerifier>,
    clock: Arc<Clock>,
}

impl SiteTrust {
    /// Trusts these CA certificates (DER) and no others.
    pub fn new<'a>(
        anchors: impl Iterator<Item = &'a [u8]>,
        clock: Arc<Clock>,
    ) -> Result<Self, TrustError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let anchors = anchors
            .enumerate()
            .map(|(index, der)| {
                anchor_from_trusted_cert(&CertificateDer::from(der))
                    .map(|anchor| anchor.to_owned())
                    .map_err(|error| TrustError::Anchor {
                        number: index + 1,
                        reason: error.to_string(),
                    })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let roots = RootCertStore { roots: anchors.clone() };
        let inner =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| TrustError::Tls(error.to_string()))?;
        let verifier = Arc::new(SiteVerifier { inner, clock: Arc::clone(&clock) });
        Ok(Self { anchors: Arc::new(anchors), provider, verifier, clock })
    }

    /// The cryptography in use: ring, named explicitly.
    pub fn provider(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.provider)
    }

    /// The verifier of server certificates.
    pub fn verifier(&self) -> Arc<dyn ServerCertVerifier> {
        Arc::<SiteVerifier>::clone(&self.verifier)
    }

    /// Checks that an issued chain leads to the anchors and may authenticate a TLS client.
    pub fn check_issued(&self, chain: &Chain) -> Result<(), TrustError> {
        let issued = |error: &dyn std::fmt::Display| TrustError::Issued(error.to_string());
        let certificates: Vec<CertificateDer<'_>> = chain
            .to_der()
            .map_err(|error| issued(&error))?
            .into_iter()
            .map(CertificateDer::from)
            .collect();
        let (leaf, issuers) =
            certificates.split_first().ok_or_else(|| issued(&"the chain is empty"))?;
        let now = judging_time(&self.clock, leaf, issuers).map_err(|error| issued(&error))?;
        EndEntityCert::try_from(leaf)
            .and_then(|leaf| {
                leaf.verify_for_usage(
                    self.provider.signature_verification_algorithms.all,
                    &self.anchors,
                    issuers,
                    now,
                    KeyUsage::client_auth(),
                    None,
                    None,
                )
                .map(drop)
            })
            .map_err(|error| issued(&error))
    }

    /// Checks a signature of the site's server: the signer's chain (DER, the signer's certificate
    /// first) leads to the anchors, is for this purpose alone (its extended key usage), and its key
    /// made the signature, ECDSA on P-256 with SHA-256 in DER, over the message.
    pub fn check_signed(
        &self,
        chain: &[Vec<u8>],
        purpose: &'static HoldfastOid,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), TrustError> {
        let failed = |error: &dyn std::fmt::Display| TrustError::Signer(error.to_string());
        let certificates: Vec<CertificateDer<'_>> =
            chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let (leaf, issuers) =
            certificates.split_first().ok_or_else(|| failed(&"the chain is empty"))?;
        let now = judging_time(&self.clock, leaf, issuers).map_err(|error| failed(&error))?;
        if !certificate::is_for(leaf, purpose).map_err(|error| failed(&error))? {
            return Err(failed(&format!("its certificate is not for {purpose} alone")));
        }
        let leaf = EndEntityCert::try_from(leaf).map_err(|error| failed(&error))?;
        leaf.verify_for_usage(
            self.provider.signature_verification_algorithms.all,
            &self.anchors,
            issuers,
            now,
            // The CAs of the chain name no purpose.
            KeyUsage::required_if_present(purpose.contents()),
            None,
            None,
        )
        .map_err(|error| failed(&error))?;
        leaf.verify_signature(webpki::ring::ECDSA_P256_SHA256, message, signature)
            .map_err(|error| failed(&error))
    }
}

/// Standard verification, at a time that suits a device whose clock may be behind.
#[derive(Debug)]
struct SiteVerifier {
    inner: Arc<WebPkiServerVerifier>,
    clock: Arc<Clock>,
}

impl ServerCertVerifier for SiteVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let now = judging_time(&self.clock, end_entity, intermediates)
            .map_err(|_| rustls::CertificateError::BadEncoding)?;
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn judging_time(
    clock: &Clock,
    leaf: &CertificateDer<'_>,
    issuers: &[CertificateDer<'_>],
) -> Result<UnixTime, der::Error> {
    let mut latest_start = 0;
    for certificate in std::iter::once(leaf).chain(issuers) {
        latest_start = latest_start.max(certificate::validity(certificate)?.not_before);
    }
    let seconds = clock.judging_time(latest_start);
    Ok(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests;
