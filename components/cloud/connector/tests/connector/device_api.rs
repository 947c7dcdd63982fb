//! The device API: who gets in, and for how long.

use http::StatusCode;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::support::Fixture;
use crate::support::device::{Device, Tpm as _};
use crate::support::http::{Connection, Dial};
use crate::support::software::SoftwareTpm;

const EDGE_ID: &str = "SN-0001";
const SELF: &str = "/api/v1/device/self";
const DAY: i64 = 24 * 3600;

async fn enrolled() -> (Fixture, Device<SoftwareTpm>, Vec<CertificateDer<'static>>) {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
    let chain = device.enrol(&fixture.server).await;
    (fixture, device, chain)
}

async fn connect(
    fixture: &Fixture,
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> Connection {
    Dial::device(&fixture.server).with_identity(chain.to_vec(), key).connect().await.unwrap()
}

/// TLS 1.3 tells a client after its handshake only that its certificate was not taken.
async fn assert_no_service(dial: Dial) {
    let answered = match dial.connect().await {
        Ok(mut connection) => connection.get(SELF).await.is_ok(),
        Err(_) => false,
    };
    assert!(!answered);
}

#[tokio::test]
async fn the_first_call_makes_the_device_active() {
    let (fixture, device, chain) = enrolled().await;
    let mut connection = connect(&fixture, &chain, device.tpm.private_key()).await;
    let answer = connection.get(SELF).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let told = answer.json();
    let shown = fixture.device(EDGE_ID).await;
    assert_eq!(told["state"], json!("active"));
    assert_eq!(shown["state"], json!("active"));
    assert_eq!(told["device_id"], shown["id"]);
    assert_eq!(told["edge_id"], json!(EDGE_ID));
    assert_eq!(told["tenant"], json!("demo"));
    assert_eq!(told["certificate"]["serial"], shown["certificates"][0]["serial"]);
    let now = fixture.server.app().now().unix_timestamp();
    assert_eq!(told["time"], json!(now));
    assert_eq!(told["certificate"]["not_after"], json!(now + 90 * DAY));
    assert_eq!(fixture.last_event().await["kind"], json!("activated"));
    assert_eq!(fixture.audit().await[0].0, "registry.activate");

    // A second call changes nothing and records nothing.
    let records = fixture.audit().await.len();
    assert_eq!(connection.get(SELF).await.unwrap().status, StatusCode::OK);
    assert_eq!(fixture.audit().await.len(), records);
}

#[tokio::test]
async fn a_certificate_without_the_issuing_ca_is_enough() {
    let (fixture, device, chain) = enrolled().await;
    let mut connection = connect(&fixture, &chain[..1], device.tpm.private_key()).await;
    assert_eq!(connection.get(SELF).await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn without_a_certificate_of_ours_there_is_no_connection() {
    let (fixture, ..) = enrolled().await;
    assert_no_service(Dial::device(&fixture.server)).await;

    let other = Fixture::start().await;
    other.publish_release().await;
    let foreign = Device::new(EDGE_ID, SoftwareTpm::new(&other.site));
    other.register(EDGE_ID, foreign.tpm.ek_sha256()).await;
    let chain = foreign.enrol(&other.server).await;
    let dial = Dial::device(&fixture.server).with_identity(chain, foreign.tpm.private_key());
    assert_no_service(dial).await;
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let (fixture, device, chain) = enrolled().await;
    let dial = Dial::device(&fixture.server).with_identity(chain, device.tpm.private_key());
    assert!(dial.with_tls12().connect().await.is_err());
}

#[tokio::test]
async fn a_suspension_reaches_an_open_connection() {
    let (fixture, device, chain) = enrolled().await;
    let mut connection = connect(&fixture, &chain, device.tpm.private_key()).await;
    assert_eq!(connection.get(SELF).await.unwrap().status, StatusCode::OK);
    fixture.change(EDGE_ID, "suspend").await.unwrap();
    let answer = connection.get(SELF).await.unwrap();
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "suspended".to_owned()));
    assert_eq!(answer.headers["connection"], "close");
    let event = fixture.last_event().await;
    assert_eq!(event["kind"], json!("connection-refused"));
    assert_eq!(event["request_id"], json!(answer.request_id()));

    fixture.change(EDGE_ID, "resume").await.unwrap();
    assert_eq!(fixture.device(EDGE_ID).await["state"], json!("active"));
    let mut connection = connect(&fixture, &chain, device.tpm.private_key()).await;
    assert_eq!(connection.get(SELF).await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_device_that_keeps_calling_while_suspended_leaves_few_events() {
    let (fixture, device, chain) = enrolled().await;
    fixture.change(EDGE_ID, "suspend").await.unwrap();
    for _ in 0..20 {
        let mut connection = connect(&fixture, &chain, device.tpm.private_key()).await;
        assert_eq!(connection.get(SELF).await.unwrap().status, StatusCode::FORBIDDEN);
    }
    let shown = fixture.device(EDGE_ID).await;
    let refusals = shown["events"].as_array().unwrap().iter();
    let refusals = refusals.filter(|event| event["kind"] == json!("connection-refused")).count();
    assert_eq!(refusals, 5);
}

#[tokio::test]
async fn revocation_is_for_good() {
    let (fixture, device, chain) = enrolled().await;
    fixture.change(EDGE_ID, "revoke").await.unwrap();
    let mut connection = connect(&fixture, &chain, device.tpm.private_key()).await;
    assert_eq!(connection.get(SELF).await.unwrap().code(), "revoked");
    assert_eq!(device.try_enrol(&fixture.server).await.code(), "revoked");
    assert!(fixture.change(EDGE_ID, "resume").await.is_err());
}

#[tokio::test]
async fn an_old_certificate_is_good_for_a_day_after_the_new_one() {
    let (fixture, mut device, old) = enrolled().await;
    let old_key = device.tpm.private_key();
    device.tpm.renew_device_key();
    let new = device.enrol(&fixture.server).await;

    fixture.clock.advance(DAY - 1);
    let mut connection = connect(&fixture, &old, old_key.clone_key()).await;
    assert_eq!(connection.get(SELF).await.unwrap().status, StatusCode::OK);
    fixture.clock.advance(1);
    let answer = connection.get(SELF).await.unwrap();
    assert_eq!(answer.code(), "certificate-superseded");
    let mut connection = connect(&fixture, &new, device.tpm.private_key()).await;
    assert_eq!(connection.get(SELF).await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_the_common_form() {
    let (fixture, device, chain) = enrolled().await;
    let mut connection = connect(&fixture, &chain, device.tpm.private_key()).await;
    let answer = connection.get("/api/v1/devices").await.unwrap();
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not-found".to_owned()));
    let answer = connection.post(SELF, "").await;
    assert_eq!(answer.code(), "method-not-allowed");
}
