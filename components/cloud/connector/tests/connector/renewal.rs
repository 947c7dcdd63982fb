//! Renewal with the certificate in force, and one test per way to fail.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_attestation::binding::{BindingInput, qualifying_data};
use holdfast_attestation::hash::sha256;
use holdfast_attestation::nonce::{NonceRequest, NonceResponse, RequestInfo};
use holdfast_tpm::swtpm::{Manufacturer, Swtpm as Chip};
use http::StatusCode;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::support::Fixture;
use crate::support::device::{Device, NONCE, RENEW, Tpm as _, certificates};
use crate::support::http::{Answer, Dial};
use crate::support::software::{SHA256_WITH_RSA, SoftwareTpm, certificate_request};
use crate::support::swtpm::Swtpm;

const EDGE_ID: &str = "SN-0001";
const SELF: &str = "/api/v1/device/self";
const DAY: i64 = 24 * 3600;

/// An enrolled device with the certificate in force and its key.
struct Enrolled {
    fixture: Fixture,
    device: Device<SoftwareTpm>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

async fn enrolled() -> Enrolled {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let (device, chain, key) = enrol(&fixture, EDGE_ID).await;
    Enrolled { fixture, device, chain, key }
}

async fn enrol(
    fixture: &Fixture,
    edge_id: &str,
) -> (Device<SoftwareTpm>, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let device = Device::new(edge_id, SoftwareTpm::new(&fixture.site));
    fixture.register(edge_id, device.tpm.ek_sha256()).await;
    let chain = device.enrol(&fixture.server).await;
    let key = device.tpm.private_key();
    (device, chain, key)
}

impl Enrolled {
    /// As the device calls with the certificate of its enrolment.
    fn dial(&self) -> Dial {
        let server = &self.fixture.server;
        Dial::est(server).with_identity(self.chain.clone(), self.key.clone_key())
    }

    async fn assert_refused(&self, answer: &Answer, code: &str) {
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, code.to_owned()));
        let event = self.fixture.last_event().await;
        assert_eq!(event["kind"], json!("renewal-refused"));
        assert_eq!(event["code"], json!(code));
        assert_eq!(event["request_id"], json!(answer.request_id()));
        let denied = ("est.renew".into(), "denied".into(), "failed".into());
        assert_eq!(self.fixture.audit().await[0], denied);
    }

    async fn certificates(&self) -> usize {
        self.fixture.device(EDGE_ID).await["certificates"].as_array().unwrap().len()
    }
}

#[tokio::test]
async fn a_renewal_takes_a_new_key_and_keeps_the_identity() {
    let mut it = enrolled().await;
    let first = it.fixture.device(EDGE_ID).await;
    it.device.tpm.renew_device_key();
    let answer = it.device.try_renew(it.dial()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
    let renewed = certificates(&answer.body);

    let second = it.fixture.device(EDGE_ID).await;
    assert_eq!(first["id"], second["id"]);
    assert_eq!(second["certificates"][0]["accepted_until"], Value::Null);
    assert!(second["certificates"][1]["accepted_until"].is_string());
    assert_eq!(it.fixture.last_event().await["kind"], json!("renewed"));
    let done = ("est.renew".into(), "allowed".into(), "ok".into());
    assert_eq!(it.fixture.audit().await[0], done);

    let dial = Dial::device(&it.fixture.server).with_identity(renewed, it.device.tpm.private_key());
    let told = dial.connect().await.unwrap().get(SELF).await.unwrap();
    assert_eq!(told.json()["state"], json!("active"));
}

#[tokio::test]
async fn a_renewal_without_a_client_certificate_is_refused() {
    let it = enrolled().await;
    let answer = it.device.try_renew(Dial::est(&it.fixture.server)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.code(), "certificate-needed");
    assert_eq!(it.certificates().await, 1);
}

#[tokio::test]
async fn a_certificate_that_is_not_in_force_renews_nothing() {
    for (verb, code) in [("suspend", "suspended"), ("revoke", "revoked"), ("retire", "retired")] {
        let mut it = enrolled().await;
        it.fixture.change(EDGE_ID, verb).await.unwrap();
        it.device.tpm.renew_device_key();
        it.assert_refused(&it.device.try_renew(it.dial()).await, code).await;
        assert_eq!(it.certificates().await, 1);
    }
    let mut it = enrolled().await;
    it.device.tpm.renew_device_key();
    assert_eq!(it.device.try_renew(it.dial()).await.status, StatusCode::OK);
    // Within the overlap the old one still renews: the answer may have been lost.
    it.fixture.clock.advance(DAY - 1);
    assert_eq!(it.device.try_renew(it.dial()).await.status, StatusCode::OK);
    it.fixture.clock.advance(1);
    it.assert_refused(&it.device.try_renew(it.dial()).await, "certificate-superseded").await;
}

#[tokio::test]
async fn the_certificate_of_another_device_renews_nothing_and_is_an_alert() {
    let it = enrolled().await;
    let (other, ..) = enrol(&it.fixture, "SN-0002").await;
    let answer = other.try_renew(it.dial()).await;
    it.assert_refused(&answer, "certificate-other-device").await;
    let event = it.fixture.last_event().await;
    assert_eq!(event["severity"], json!("alert"));
    assert_eq!(event["device_id"], it.fixture.device(EDGE_ID).await["id"]);
}

#[tokio::test]
async fn another_ak_needs_an_enrolment() {
    let mut it = enrolled().await;
    it.device.tpm.renew_ak();
    it.assert_refused(&it.device.try_renew(it.dial()).await, "ak-changed").await;
    it.device.tpm.renew_device_key();
    it.chain = it.device.enrol(&it.fixture.server).await;
    it.key = it.device.tpm.private_key();
    assert_eq!(it.device.try_renew(it.dial()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_booted_is_judged_at_a_renewal_too() {
    let mut it = enrolled().await;
    it.device.tpm.pcrs[2] = [0xCC; 32];
    it.assert_refused(&it.device.try_renew(it.dial()).await, "command-line-added").await;
    it.device.tpm.pcrs[2] = [0; 32];
    it.device.tpm.pcrs[1] = [0xBB; 32];
    it.assert_refused(&it.device.try_renew(it.dial()).await, "release-unknown").await;
    assert_eq!(it.certificates().await, 1);
}

#[tokio::test]
async fn a_nonce_is_good_for_one_renewal() {
    let it = enrolled().await;
    let mut connection = it.dial().connect().await.unwrap();
    let without = STANDARD.encode(it.device.tpm.certificate_request(None));
    assert_eq!(connection.post(RENEW, without).await.code(), "nonce-unknown");
    let challenge = it.device.ask_nonce(&mut connection).await;
    let body = it.device.answer(&challenge, &connection.exporter);
    assert_eq!(connection.post(RENEW, body.clone()).await.status, StatusCode::OK);
    it.assert_refused(&connection.post(RENEW, body).await, "nonce-used").await;
}

/// Who has the running device under control can use its certificate and its TPM, but must not get
/// a certificate for a key that he can take away.
#[tokio::test]
async fn renewal_onto_a_software_key() {
    let fixture = Fixture::start().await;
    let chip = Manufacturer::found().unwrap().make().unwrap();
    let device = booted(&fixture, &chip).await;
    let chain = device.enrol(&fixture.server).await;
    let folder = tempfile::tempdir().unwrap();
    let spki = software_key(folder.path());

    // A nonce for the software key, and everything that the genuine TPM would say with it.
    let dial = Dial::est(&fixture.server).with_key(chain.clone(), device.tpm.tls_key());
    let mut connection = dial.connect().await.unwrap();
    let info = RequestInfo {
        edge_id: device.edge_id.clone(),
        ek_public: device.tpm.ek_public(),
        ek_certificates: device.tpm.ek_certificates(),
        ak_public: device.tpm.ak_public(),
        device_key_spki_sha256: sha256(&[&spki]),
    };
    let request = NonceRequest::new(info).to_json().unwrap();
    for with_evidence in [false, true] {
        let answer = connection.post(NONCE, request.clone()).await;
        let challenge = NonceResponse::from_json(&answer.body).unwrap();
        let data = qualifying_data(&BindingInput {
            secret: &device.tpm.activate(&challenge.type_info.info),
            nonce: &challenge.nonce,
            spki_sha256: &sha256(&[&spki]),
            edge_id: &device.edge_id,
            tls_exporter: &connection.exporter,
            pairing_code: &[],
        });
        let evidence = with_evidence.then(|| device.tpm.attest(&data));
        let csr = certificate_request(&spki, evidence.as_ref(), SHA256_WITH_RSA, |info| {
            openssl_sign(folder.path(), info)
        });
        let answer = connection.post(RENEW, STANDARD.encode(csr)).await;
        let code = if with_evidence { "device-key-mismatch" } else { "evidence-invalid" };
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, code.to_owned()));
        assert_eq!(fixture.last_event().await["code"], json!(code));
    }
    let shown = fixture.device(EDGE_ID).await;
    assert_eq!(shown["certificates"].as_array().unwrap().len(), 1);

    // The TPM's own next key is what it takes.
    let (tls_key, mut device) = (device.tpm.tls_key(), device);
    device.tpm.renew_device_key();
    let answer = device.try_renew(Dial::est(&fixture.server).with_key(chain, tls_key)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
}

/// A registered device with this TPM, whose boot is published.
async fn booted(fixture: &Fixture, chip: &Chip) -> Device<Swtpm> {
    let device = Device::new(EDGE_ID, fixture.boot(chip).await);
    fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
    device
}

/// Makes `key.pem` with OpenSSL and gives its `SubjectPublicKeyInfo`.
fn software_key(folder: &Path) -> Vec<u8> {
    openssl(folder, &["genrsa", "-out", "key.pem", "2048"]);
    openssl(folder, &["pkey", "-in", "key.pem", "-pubout", "-outform", "der"])
}

fn openssl_sign(folder: &Path, message: &[u8]) -> Vec<u8> {
    std::fs::write(folder.join("message"), message).unwrap();
    openssl(folder, &["dgst", "-sha256", "-sign", "key.pem", "message"])
}

fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
