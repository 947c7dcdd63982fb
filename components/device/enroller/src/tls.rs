//! TLS client configurations: for enrolment without, for the device API with the TPM's key.

use std::sync::Arc;

use holdfast_tpm::{KeyBlob, SignatureScheme as TpmScheme};
use rustls::client::ResolvesClientCert;
use rustls::client::Resumption;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

use crate::certificate::Chain;
use crate::tpm_owner::{JobError, TpmOwner};
use crate::trust::{SiteTrust, TrustError};

/// Sessions kept for resumption: there is one server.
const SESSIONS: usize = 4;

/// TLS 1.3 without a client certificate.
pub fn anonymous(trust: &SiteTrust) -> Result<Arc<ClientConfig>, TrustError> {
    Ok(Arc::new(builder(trust)?.with_no_client_auth()))
}

/// TLS 1.3 with the device's certificate, whose key is in the TPM; sessions are resumed.
pub fn mutual(
    trust: &SiteTrust,
    chain: &Chain,
    key: TpmKey,
) -> Result<Arc<ClientConfig>, TrustError> {
    authenticated(trust, chain, key, Resumption::in_memory_sessions(SESSIONS))
}

/// The same for renewals: evidence is bound to a connection, so each has a handshake of its own.
pub fn mutual_without_resumption(
    trust: &SiteTrust,
    chain: &Chain,
    key: TpmKey,
) -> Result<Arc<ClientConfig>, TrustError> {
    authenticated(trust, chain, key, Resumption::disabled())
}

fn authenticated(
    trust: &SiteTrust,
    chain: &Chain,
    key: TpmKey,
    resumption: Resumption,
) -> Result<Arc<ClientConfig>, TrustError> {
    let certificates = chain
        .to_der()
        .map_err(|error| TrustError::Tls(error.to_string()))?
        .into_iter()
        .map(CertificateDer::from)
        .collect();
    let certified = CertifiedKey::new(certificates, Arc::new(key));
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

/// A device key that signs inside the TPM.
#[derive(Debug, Clone)]
pub struct TpmKey {
    tpm: TpmOwner,
    blob: Arc<KeyBlob>,
}

impl TpmKey {
    /// The key that this blob loads as.
    pub fn new(tpm: TpmOwner, blob: Arc<KeyBlob>) -> Self {
        Self { tpm, blob }
    }
}

impl SigningKey for TpmKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::RSA_PSS_SHA256)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for TpmKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let digest: [u8; 32] = Sha256::digest(message).into();
        let blob = Arc::clone(&self.blob);
        self.tpm
            .run(move |tpm| {
                let key = tpm.load(&blob)?;
                Ok(tpm.sign(&key, TpmScheme::RsaPssSha256, &digest)?)
            })
            .map_err(|error: JobError| Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PSS_SHA256
    }
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
