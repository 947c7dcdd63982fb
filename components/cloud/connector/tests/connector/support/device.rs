//! A device that enrols: the protocol, over any TPM.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_attestation::binding::{BindingInput, qualifying_data};
use holdfast_attestation::edge_id::EdgeId;
use holdfast_attestation::ek::ek_sha256;
use holdfast_attestation::evidence::Evidence;
use holdfast_attestation::hash::sha256;
use holdfast_attestation::nonce::{NonceRequest, NonceResponse, RequestInfo, ResponseInfo};
use holdfast_attestation::tpm::Public;
use holdfast_cloud::registry::Digest;
use holdfast_cloud::server::Server;
use http::StatusCode;
use rustls_pki_types::CertificateDer;

use super::http::{Answer, Connection, Dial};

pub const NONCE: &str = "/.well-known/est/nonce";
pub const ENROL: &str = "/.well-known/est/simpleenroll";
pub const RENEW: &str = "/.well-known/est/simplereenroll";

/// What a device asks of its TPM.
pub trait Tpm {
    /// `TPMT_PUBLIC`
    fn ek_public(&self) -> Vec<u8>;
    fn ek_certificates(&self) -> Vec<Vec<u8>>;
    /// `TPMT_PUBLIC`
    fn ak_public(&self) -> Vec<u8>;
    /// DER of the device key.
    fn device_key_spki(&self) -> Vec<u8>;
    fn activate(&self, challenge: &ResponseInfo) -> Vec<u8>;
    fn attest(&self, qualifying_data: &[u8; 32]) -> Evidence;
    /// DER of a certificate request of the device key.
    fn certificate_request(&self, evidence: Option<&Evidence>) -> Vec<u8>;

    fn ek_sha256(&self) -> Digest {
        let public = Public::parse(&self.ek_public()).unwrap();
        Digest(ek_sha256(&public.to_spki_der().unwrap()))
    }
}

/// A device: a TPM and what it calls itself.
pub struct Device<T> {
    pub tpm: T,
    pub edge_id: EdgeId,
    /// What an operator carried to it.
    pub pairing_code: Vec<u8>,
}

impl<T: Tpm> Device<T> {
    pub fn new(edge_id: &str, tpm: T) -> Self {
        Self { tpm, edge_id: EdgeId::parse(edge_id).unwrap(), pairing_code: Vec::new() }
    }

    pub async fn connect(&self, server: &Server) -> Connection {
        Dial::est(server).connect().await.unwrap()
    }

    pub fn nonce_request(&self) -> Vec<u8> {
        let info = RequestInfo {
            edge_id: self.edge_id.clone(),
            ek_public: self.tpm.ek_public(),
            ek_certificates: self.tpm.ek_certificates(),
            ak_public: self.tpm.ak_public(),
            device_key_spki_sha256: sha256(&[&self.tpm.device_key_spki()]),
        };
        NonceRequest::new(info).to_json().unwrap()
    }

    /// The first request.
    pub async fn ask_nonce(&self, connection: &mut Connection) -> NonceResponse {
        let answer = connection.post(NONCE, self.nonce_request()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
        NonceResponse::from_json(&answer.body).unwrap()
    }

    /// The body of the second request.
    pub fn answer(&self, challenge: &NonceResponse, exporter: &[u8; 32]) -> String {
        let data = self.qualifying_data(challenge, exporter);
        STANDARD.encode(self.tpm.certificate_request(Some(&self.tpm.attest(&data))))
    }

    /// The same, of a device that made the secret up.
    pub fn answer_with_secret(
        &self,
        secret: &[u8],
        challenge: &NonceResponse,
        exporter: &[u8; 32],
    ) -> String {
        let data = self.binding(secret, challenge, exporter);
        STANDARD.encode(self.tpm.certificate_request(Some(&self.tpm.attest(&data))))
    }

    /// What binds the evidence to this enrolment.
    pub fn qualifying_data(&self, challenge: &NonceResponse, exporter: &[u8; 32]) -> [u8; 32] {
        let secret = self.tpm.activate(&challenge.type_info.info);
        self.binding(&secret, challenge, exporter)
    }

    fn binding(&self, secret: &[u8], challenge: &NonceResponse, exporter: &[u8; 32]) -> [u8; 32] {
        qualifying_data(&BindingInput {
            secret,
            nonce: &challenge.nonce,
            spki_sha256: &sha256(&[&self.tpm.device_key_spki()]),
            edge_id: &self.edge_id,
            tls_exporter: exporter,
            pairing_code: &self.pairing_code,
        })
    }

    /// Both requests on a new connection.
    pub async fn try_enrol(&self, server: &Server) -> Answer {
        let mut connection = self.connect(server).await;
        let challenge = self.ask_nonce(&mut connection).await;
        let body = self.answer(&challenge, &connection.exporter);
        connection.post(ENROL, body).await
    }

    /// Enrols, knowing a root that may not be the one in force.
    pub async fn enrol_trusting(
        &self,
        server: &Server,
        root: &CertificateDer<'static>,
    ) -> Vec<CertificateDer<'static>> {
        let dial = Dial { root: root.clone(), ..Dial::est(server) };
        let mut connection = dial.connect().await.unwrap();
        let challenge = self.ask_nonce(&mut connection).await;
        let body = self.answer(&challenge, &connection.exporter);
        certificates(&connection.post(ENROL, body).await.body)
    }

    /// Both requests on a new connection with a client certificate, for the next one.
    pub async fn try_renew(&self, dial: Dial) -> Answer {
        let mut connection = dial.connect().await.unwrap();
        let challenge = self.ask_nonce(&mut connection).await;
        let body = self.answer(&challenge, &connection.exporter);
        connection.post(RENEW, body).await
    }

    /// The same, with success.
    pub async fn enrol(&self, server: &Server) -> Vec<CertificateDer<'static>> {
        let answer = self.try_enrol(server).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
        certificates(&answer.body)
    }
}

/// The certificates of a certs-only answer, as OpenSSL reads them.
pub fn certificates(body: &[u8]) -> Vec<CertificateDer<'static>> {
    use rustls_pki_types::pem::PemObject as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answer.p7");
    std::fs::write(&path, STANDARD.decode(body).unwrap()).unwrap();
    let output = std::process::Command::new("openssl")
        .args(["pkcs7", "-inform", "der", "-print_certs", "-in"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    CertificateDer::pem_slice_iter(&output.stdout).map(Result::unwrap).collect()
}
