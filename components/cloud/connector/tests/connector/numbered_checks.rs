//! Each numbered check of the server, reached by a request that every other check lets through.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_attestation::binding::{BindingInput, qualifying_data};
use holdfast_attestation::hash::sha256;
use holdfast_attestation::tpm::ObjectAttributes;
use holdfast_tpm::swtpm::Manufacturer;
use http::StatusCode;
use serde_json::json;

use crate::support::Fixture;
use crate::support::device::{Device, ENROL, NONCE, Tpm as _};
use crate::support::http::Answer;
use crate::support::software::SoftwareTpm;

const EDGE_ID: &str = "SN-0001";

/// A device that would pass.
async fn registered() -> (Fixture, Device<SoftwareTpm>) {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
    (fixture, device)
}

/// The check said no, and nothing came of the request.
async fn assert_failed(fixture: &Fixture, answer: &Answer, check: u8, code: &str) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let event = fixture.last_event().await;
    assert_eq!(event["code"], json!(code));
    let detail = event["detail"].as_str().unwrap();
    assert!(detail.starts_with(&format!("check {check}: ")), "{detail}");
    assert_eq!(event["request_id"], json!(answer.request_id()));
    assert_eq!(fixture.device(EDGE_ID).await["certificates"], json!([]));
}

#[tokio::test]
async fn check_1_the_ek_is_not_the_key_of_its_certificate() {
    let (fixture, mut device) = registered().await;
    let other = Manufacturer::found().unwrap().make().unwrap();
    device.tpm.ek_certificates = vec![other.ek_certificate_der().unwrap().unwrap()];
    let mut connection = device.connect(&fixture.server).await;
    let answer = connection.post(NONCE, device.nonce_request()).await;
    assert_failed(&fixture, &answer, 1, "ek-certificate-mismatch").await;
}

#[tokio::test]
async fn check_2_no_allowed_ca_vouches_for_the_ek() {
    let fixture = Fixture::start().await;
    fixture.allow(&maker_with_a_ca()).await;
    let chip = Manufacturer::found().unwrap().make().unwrap();
    let device = Device::new(EDGE_ID, fixture.boot(&chip).await);
    fixture.register_by(EDGE_ID, "ek_ca", json!({ "approval": "auto" })).await;
    let answer = device.try_enrol(&fixture.server).await;
    assert_failed(&fixture, &answer, 2, "ek-not-trusted").await;
}

/// A maker's CA is made with its first TPM.
fn maker_with_a_ca() -> Manufacturer {
    let maker = Manufacturer::found().unwrap();
    maker.make().unwrap();
    maker
}

#[tokio::test]
async fn check_3_the_ak_is_not_restricted() {
    let (fixture, mut device) = registered().await;
    device.tpm.ak_attributes = ObjectAttributes::FIXED_TPM
        | ObjectAttributes::FIXED_PARENT
        | ObjectAttributes::SENSITIVE_DATA_ORIGIN
        | ObjectAttributes::SIGN;
    let mut connection = device.connect(&fixture.server).await;
    let answer = connection.post(NONCE, device.nonce_request()).await;
    assert_failed(&fixture, &answer, 3, "ak-attributes").await;
}

#[tokio::test]
async fn check_4_the_request_is_not_signed_with_its_key() {
    let (fixture, device) = registered().await;
    let mut connection = device.connect(&fixture.server).await;
    let challenge = device.ask_nonce(&mut connection).await;
    let good = device.answer(&challenge, &connection.exporter);
    let mut csr = STANDARD.decode(good).unwrap();
    *csr.last_mut().unwrap() ^= 1;
    let answer = connection.post(ENROL, STANDARD.encode(csr)).await;
    assert_failed(&fixture, &answer, 4, "csr-signature").await;
}

#[tokio::test]
async fn check_5_the_nonce_is_too_old() {
    let (fixture, device) = registered().await;
    let mut connection = device.connect(&fixture.server).await;
    let challenge = device.ask_nonce(&mut connection).await;
    let body = device.answer(&challenge, &connection.exporter);
    fixture.clock.advance(600);
    let answer = connection.post(ENROL, body).await;
    assert_failed(&fixture, &answer, 5, "nonce-expired").await;
}

#[tokio::test]
async fn check_6_the_statements_were_made_for_another_connection() {
    let (fixture, device) = registered().await;
    let mut connection = device.connect(&fixture.server).await;
    let challenge = device.ask_nonce(&mut connection).await;
    let answer = connection.post(ENROL, device.answer(&challenge, &[0x55; 32])).await;
    assert_failed(&fixture, &answer, 6, "binding-mismatch").await;
}

#[tokio::test]
async fn check_7_another_ak_signed() {
    let (fixture, mut device) = registered().await;
    let mut connection = device.connect(&fixture.server).await;
    let challenge = device.ask_nonce(&mut connection).await;
    let data = qualifying_data(&BindingInput {
        secret: &device.tpm.activate(&challenge.type_info.info),
        nonce: &challenge.nonce,
        spki_sha256: &sha256(&[&device.tpm.device_key_spki()]),
        edge_id: &device.edge_id,
        tls_exporter: &connection.exporter,
        pairing_code: &[],
    });
    device.tpm.renew_ak();
    let csr = device.tpm.certificate_request(Some(&device.tpm.attest(&data)));
    let answer = connection.post(ENROL, STANDARD.encode(csr)).await;
    assert_failed(&fixture, &answer, 7, "evidence-signature").await;
}

#[tokio::test]
async fn check_8_the_device_key_could_leave_the_tpm() {
    let (fixture, mut device) = registered().await;
    device.tpm.device_key_attributes =
        ObjectAttributes::SENSITIVE_DATA_ORIGIN | ObjectAttributes::SIGN;
    let answer = device.try_enrol(&fixture.server).await;
    assert_failed(&fixture, &answer, 8, "device-key-attributes").await;
}

#[tokio::test]
async fn check_9_something_was_added_to_the_command_line() {
    let (fixture, mut device) = registered().await;
    device.tpm.pcrs[2] = [0xCC; 32];
    let answer = device.try_enrol(&fixture.server).await;
    assert_failed(&fixture, &answer, 9, "command-line-added").await;
}

#[tokio::test]
async fn check_10_the_device_is_suspended() {
    let (fixture, device) = registered().await;
    fixture.change(EDGE_ID, "suspend").await.unwrap();
    let answer = device.try_enrol(&fixture.server).await;
    assert_failed(&fixture, &answer, 10, "suspended").await;
}
