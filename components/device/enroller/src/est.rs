//! The attested enrolment: two requests on one connection (RFC 7030, RFC 8951, with
//! draft-ietf-lamps-attestation-freshness and draft-ietf-lamps-csr-attestation).
//!
//! ```text
//! POST nonce          who I am, my EK, my AK, the hash of my new key   -> nonce, credential
//! TPM                 open the credential; certify the key and quote the boot, bound to the nonce
//! POST simpleenroll   certificate request with that evidence           -> certificate
//! ```
//!
//! A renewal is the same with `simplereenroll`, over mutual TLS with the certificate in use.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use holdfast_attestation::binding::{BindingInput, qualifying_data};
use holdfast_attestation::edge_id::EdgeId;
use holdfast_attestation::evidence::{CertifyStatement, Evidence, QuoteStatement};
use holdfast_attestation::hash::sha256;
use holdfast_attestation::nonce::{self, NonceRequest, NonceResponse, RequestInfo};
use holdfast_attestation::pairing::PairingCode;
use holdfast_site::HttpsOrigin;
use holdfast_tpm::{Credential, EkInfo, KeyBlob, SignatureScheme, Tpm, TpmError};
use http::{Method, StatusCode};
use rustls::ClientConfig;

use crate::certificate::{CertificateError, Chain};
use crate::certs_only;
use crate::csr::{RequestError, UnsignedRequest};
use crate::peer::{Answer, Body, Peer, PeerError};
use crate::refusal::Rejection;
use crate::tpm_owner::{TpmGone, TpmOwner};

const NONCE_PATH: &str = "/.well-known/est/nonce";
const ENROL_PATH: &str = "/.well-known/est/simpleenroll";
const RENEW_PATH: &str = "/.well-known/est/simplereenroll";
const REQUEST_TYPE: &str = "application/pkcs10";
const PCRS: u8 = 24;

/// Why an enrolment did not come to an answer.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The connector.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The TPM.
    #[error(transparent)]
    Tpm(#[from] TpmError),
    /// The daemon stops.
    #[error(transparent)]
    Gone(#[from] TpmGone),
    /// The request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The device key's public area.
    #[error("the device key's public area cannot be used: {0}")]
    Key(String),
}

/// What the server decided.
#[derive(Debug)]
pub enum Decision {
    /// It issued a certificate.
    Issued(Chain),
    /// It refused, or waits for an operator's approval.
    Refused(Rejection),
}

/// What the server is to take for the proof of who asks, beside the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The endorsement key (RFC 7030, section 4.2.1).
    Enrol,
    /// The certificate in use, shown in TLS (RFC 7030, section 4.2.2).
    Renew,
}

impl Route {
    const fn path(self) -> &'static str {
        match self {
            Self::Enrol => ENROL_PATH,
            Self::Renew => RENEW_PATH,
        }
    }
}

/// Everything that an enrolment needs. No `Debug`: the code must not reach a log.
#[derive(Clone)]
pub struct Enrolment {
    /// Where the server listens for enrolments.
    pub server: HttpsOrigin,
    /// How the certificate is asked for.
    pub route: Route,
    /// TLS, without a client certificate or with the one to be renewed, as the route needs it.
    pub tls: Arc<ClientConfig>,
    /// The TPM.
    pub tpm: TpmOwner,
    /// The device's name.
    pub edge_id: EdgeId,
    /// The TPM's endorsement key.
    pub ek: Arc<EkInfo>,
    /// The attestation key.
    pub ak: Arc<KeyBlob>,
    /// The key to be certified.
    pub device_key: Arc<KeyBlob>,
    /// The code that the operator carried to the device.
    pub pairing_code: Option<PairingCode>,
}

impl Enrolment {
    /// Asks for a certificate.
    pub async fn run(&self) -> Result<Decision, EnrolError> {
        let spki = spki_of(&self.device_key).map_err(EnrolError::Key)?;
        let mut server = Peer::connect(&self.server, Arc::clone(&self.tls)).await?;

        let request = NonceRequest::new(RequestInfo {
            edge_id: self.edge_id.clone(),
            ek_public: self.ek.public.clone(),
            ek_certificates: self.ek.certificates.clone(),
            ak_public: self.ak.public().to_vec(),
            device_key_spki_sha256: sha256(&[&spki]),
        })
        .to_json()
        .map_err(|error| server.protocol(&error.to_string()))?;
        let body = Body::new(nonce::MEDIA_TYPE, request);
        let answer = server.send(Method::POST, NONCE_PATH, Some(body)).await?;
        if answer.status != StatusCode::OK {
            return Ok(Decision::Refused(Rejection::from_answer(&answer)));
        }
        let challenge = NonceResponse::from_json(&answer.body)
            .map_err(|error| server.protocol(&error.to_string()))?;
        if let Some(index) = challenge.type_info.info.pcrs.iter().find(|&&index| index >= PCRS) {
            return Err(server.protocol(&format!("it asks for PCR {index}")).into());
        }

        let request = self.request(challenge, spki, *server.exporter()).await?;
        let content = BASE64_STANDARD.encode(request).into_bytes();
        let body = Body::new(REQUEST_TYPE, content);
        let answer = server.send(Method::POST, self.route.path(), Some(body)).await?;
        self.decision(&server, &answer)
    }

    async fn request(
        &self,
        challenge: NonceResponse,
        spki: Vec<u8>,
        exporter: [u8; 32],
    ) -> Result<Vec<u8>, EnrolError> {
        let job = Proof {
            edge_id: self.edge_id.clone(),
            ak: Arc::clone(&self.ak),
            device_key: Arc::clone(&self.device_key),
            challenge,
            spki,
            exporter,
            pairing_code: self.pairing_code.clone(),
        };
        self.tpm.ask(move |tpm| job.request(tpm)).await
    }

    fn decision(&self, server: &Peer, answer: &Answer) -> Result<Decision, EnrolError> {
        match answer.status {
            StatusCode::OK => {
                let spki = spki_of(&self.device_key).map_err(EnrolError::Key)?;
                let chain = certs_only::parse(&answer.body)
                    .map_err(|error| server.protocol(&error.to_string()))
                    .and_then(|certificates| {
                        Chain::assemble(certificates, &spki)
                            .map_err(|error: CertificateError| server.protocol(&error.to_string()))
                    })?;
                Ok(Decision::Issued(chain))
            }
            _ => Ok(Decision::Refused(Rejection::from_answer(answer))),
        }
    }
}

/// What the TPM must do between the two requests.
struct Proof {
    edge_id: EdgeId,
    ak: Arc<KeyBlob>,
    device_key: Arc<KeyBlob>,
    challenge: NonceResponse,
    spki: Vec<u8>,
    exporter: [u8; 32],
    pairing_code: Option<PairingCode>,
}

impl Proof {
    /// Makes the signed certificate request with evidence.
    fn request(&self, tpm: &Tpm) -> Result<Vec<u8>, EnrolError> {
        let evidence = self.evidence(tpm)?;
        let request = UnsignedRequest::new(&self.edge_id, &self.spki, &evidence)?;
        let device_key = tpm.load(&self.device_key)?;
        let signature =
            tpm.sign(&device_key, SignatureScheme::RsaPkcs1Sha256, &request.digest()?)?;
        Ok(request.sign(&signature)?)
    }

    fn evidence(&self, tpm: &Tpm) -> Result<Evidence, EnrolError> {
        let challenge = &self.challenge.type_info.info;
        let ak = tpm.load(&self.ak)?;
        let secret = tpm.activate_credential(
            &ak,
            Credential {
                id_object: &challenge.credential_blob,
                encrypted_secret: &challenge.encrypted_secret,
            },
        )?;
        let qualifying = qualifying_data(&BindingInput {
            secret: &secret,
            nonce: &self.challenge.nonce,
            spki_sha256: &sha256(&[&self.spki]),
            edge_id: &self.edge_id,
            tls_exporter: &self.exporter,
            pairing_code: self.pairing_code.as_ref().map_or(&[], |code| code.as_bytes()),
        });
        let certified = {
            let device_key = tpm.load(&self.device_key)?;
            tpm.certify(&device_key, &ak, &qualifying)?
        };
        let quote = tpm.quote(&ak, &ascending(&challenge.pcrs), &qualifying)?;
        Ok(Evidence {
            certify: CertifyStatement {
                attest: certified.attest,
                signature: certified.signature,
                public: self.device_key.public().to_vec(),
            },
            quote: QuoteStatement {
                attest: quote.statement.attest,
                signature: quote.statement.signature,
                pcr_values: quote.pcr_values,
            },
        })
    }
}

fn ascending(pcrs: &[u8]) -> Vec<u8> {
    let mut pcrs = pcrs.to_vec();
    pcrs.sort_unstable();
    pcrs.dedup();
    pcrs
}

/// DER of a TPM key's `SubjectPublicKeyInfo`.
pub fn spki_of(key: &KeyBlob) -> Result<Vec<u8>, String> {
    holdfast_attestation::tpm::Public::parse(key.public())
        .map_err(|error| error.to_string())?
        .to_spki_der()
        .map_err(|error| error.to_string())
}
