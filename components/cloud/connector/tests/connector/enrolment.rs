//! Enrolment: what passes, and one test per way to fail.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_attestation::pcr::expected_site_pcr;
use holdfast_attestation::tpm::ObjectAttributes;
use holdfast_cloud::est::EnrolmentRates;
use holdfast_cloud::tls::Rate;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::Fixture;
use crate::support::device::{Device, ENROL, NONCE, Tpm as _, certificates};
use crate::support::http::{Answer, Dial};
use crate::support::software::SoftwareTpm;

const EDGE_ID: &str = "SN-0001";

/// A server with a release, and a registered device that would pass.
async fn registered() -> (Fixture, Device<SoftwareTpm>) {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
    (fixture, device)
}

/// A refusal that tells the registered TPM why, and the operator as well.
async fn assert_refused(fixture: &Fixture, answer: &Answer, code: &str) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.code(), code);
    assert_eq!(fixture.last_event().await["code"], json!(code));
}

#[tokio::test]
async fn a_registered_device_enrols() {
    let (fixture, device) = registered().await;
    let chain = device.enrol(&fixture.server).await;
    assert_eq!(chain[1], *fixture.server.app().authority().issuing());

    let shown = fixture.device(EDGE_ID).await;
    assert_eq!(shown["state"], json!("enrolled"));
    assert_eq!(shown["pcr7"], json!("07".repeat(32)));
    assert_eq!(shown["certificates"][0]["attested"], json!(true));
    let enrolment = &shown["enrolments"][0];
    assert_eq!(enrolment["certificate_serial"], shown["certificates"][0]["serial"]);
    assert_eq!(fixture.last_event().await["kind"], json!("enrolled"));
    let done = ("est.enrol".into(), "allowed".into(), "ok".into());
    assert_eq!(fixture.audit().await[0], done);
}

#[tokio::test]
async fn the_ca_certificates_are_given_to_everybody() {
    let fixture = Fixture::start().await;
    for dial in [Dial::est(&fixture.server), Dial::est(&fixture.server).with_tls12()] {
        let mut connection = dial.connect().await.unwrap();
        let answer = connection.get("/.well-known/est/cacerts").await.unwrap();
        assert_eq!(answer.headers["content-transfer-encoding"], "base64");
        let authority = fixture.server.app().authority();
        let expected = [authority.root().clone(), authority.issuing().clone()];
        assert_eq!(certificates(&answer.body), expected);
    }
}

#[tokio::test]
async fn strangers_hear_the_same_whether_the_edge_id_exists_or_not() {
    let (fixture, _) = registered().await;
    let mut answers = Vec::new();
    for (edge_id, code, severity) in
        [("SN-9999", "not-registered", "warning"), (EDGE_ID, "edge-id-bound-elsewhere", "alert")]
    {
        let stranger = Device::new(edge_id, SoftwareTpm::new(&fixture.site));
        let mut connection = stranger.connect(&fixture.server).await;
        let challenge = stranger.ask_nonce(&mut connection).await;
        let body = stranger.answer(&challenge, &connection.exporter);
        let answer = connection.post(ENROL, body).await;

        let event = fixture.last_event().await;
        assert_eq!(event["code"], json!(code));
        assert_eq!(event["severity"], json!(severity));
        assert_eq!(event["request_id"], json!(answer.request_id()));
        assert_eq!(event["ek_sha256"], json!(stranger.tpm.ek_sha256()));
        let sizes = (
            challenge.type_info.info.credential_blob.len(),
            challenge.type_info.info.encrypted_secret.len(),
        );
        let mut told = answer.json();
        told["error"]["request_id"] = Value::Null;
        answers.push((answer.status, told, challenge.expiry, sizes));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].1["error"]["code"], json!("not-accepted"));
    assert_eq!(fixture.device(EDGE_ID).await["state"], json!("registered"));
}

#[tokio::test]
async fn a_registered_tpm_under_another_name_is_told_so() {
    let (fixture, device) = registered().await;
    let renamed = Device::new("SN-0002", device.tpm);
    let answer = renamed.try_enrol(&fixture.server).await;
    assert_refused(&fixture, &answer, "ek-bound-elsewhere").await;
}

#[tokio::test]
async fn a_suspended_device_comes_back_when_it_is_resumed() {
    let (fixture, device) = registered().await;
    fixture.change(EDGE_ID, "suspend").await.unwrap();
    let answer = device.try_enrol(&fixture.server).await;
    assert_refused(&fixture, &answer, "suspended").await;
    let denied = ("est.enrol".into(), "denied".into(), "failed".into());
    assert_eq!(fixture.audit().await[0], denied);

    fixture.change(EDGE_ID, "resume").await.unwrap();
    device.enrol(&fixture.server).await;
}

#[tokio::test]
async fn a_retired_device_is_told_and_its_names_are_free_again() {
    let (fixture, device) = registered().await;
    fixture.change(EDGE_ID, "retire").await.unwrap();
    let answer = device.try_enrol(&fixture.server).await;
    assert_refused(&fixture, &answer, "retired").await;
    fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
    device.enrol(&fixture.server).await;
}

#[tokio::test]
async fn a_replaced_board_enrols_after_rebinding_and_the_old_one_no_more() {
    let (fixture, old) = registered().await;
    old.enrol(&fixture.server).await;
    let new = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    assert_eq!(new.try_enrol(&fixture.server).await.code(), "not-accepted");

    let body = json!({ "ek_sha256": new.tpm.ek_sha256() });
    let path = format!("/api/v1/devices/{EDGE_ID}/rebind");
    let rebound: Value = fixture.admin.post(&path, &body).await.unwrap();
    assert_eq!(rebound["state"], json!("registered"));
    new.enrol(&fixture.server).await;
    assert_eq!(old.try_enrol(&fixture.server).await.code(), "not-accepted");
    let shown = fixture.device(EDGE_ID).await;
    assert_eq!(shown["certificates"][0]["revoked_at"], Value::Null);
    assert!(shown["certificates"][1]["revoked_at"].is_string());
}

#[tokio::test]
async fn an_active_device_enrols_again_and_keeps_its_identity() {
    let (fixture, mut device) = registered().await;
    device.enrol(&fixture.server).await;
    let first = fixture.device(EDGE_ID).await;
    device.tpm.renew_device_key();
    device.enrol(&fixture.server).await;
    let second = fixture.device(EDGE_ID).await;
    assert_eq!(first["id"], second["id"]);
    assert_eq!(second["certificates"].as_array().unwrap().len(), 2);
    assert_eq!(second["certificates"][0]["accepted_until"], Value::Null);
    assert!(second["certificates"][1]["accepted_until"].is_string());
}

#[tokio::test]
async fn manual_approval_makes_the_device_wait() {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    let ek_sha256 = device.tpm.ek_sha256();
    let body = json!({ "edge_id": EDGE_ID, "ek_sha256": ek_sha256, "approval": "manual" });
    let _: Value = fixture.admin.post("/api/v1/devices", &body).await.unwrap();

    for _ in 0..2 {
        let answer = device.try_enrol(&fixture.server).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        assert_eq!(answer.headers["retry-after"], "60");
        assert_eq!(answer.code(), "approval-pending");
        assert_eq!(fixture.device(EDGE_ID).await["state"], json!("pending"));
    }
    assert_eq!(fixture.last_event().await["kind"], json!("approval-wanted"));
    fixture.change(EDGE_ID, "approve").await.unwrap();
    device.enrol(&fixture.server).await;
}

#[tokio::test]
async fn an_unknown_release_is_refused_until_it_is_published() {
    let fixture = Fixture::start().await;
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
    let answer = device.try_enrol(&fixture.server).await;
    assert_refused(&fixture, &answer, "release-unknown").await;

    fixture.publish_release().await;
    device.enrol(&fixture.server).await;

    let path = format!("/api/v1/releases/{}/withdraw", "11".repeat(32));
    let _: Value = fixture.admin.post(&path, &json!({})).await.unwrap();
    let answer = device.try_enrol(&fixture.server).await;
    assert_refused(&fixture, &answer, "release-unknown").await;
}

#[tokio::test]
async fn a_command_line_from_outside_is_refused() {
    let (fixture, mut device) = registered().await;
    device.tpm.pcrs[2] = [0xCC; 32];
    let answer = device.try_enrol(&fixture.server).await;
    assert_refused(&fixture, &answer, "command-line-added").await;
}

#[tokio::test]
async fn a_site_configuration_of_somebody_else_is_refused() {
    let (fixture, mut device) = registered().await;
    device.tpm.pcrs[3] = expected_site_pcr(b"tenant = \"other\"");
    let answer = device.try_enrol(&fixture.server).await;
    assert_refused(&fixture, &answer, "site-mismatch").await;
    device.tpm.pcrs[3] = [0; 32];
    let answer = device.try_enrol(&fixture.server).await;
    assert_refused(&fixture, &answer, "site-mismatch").await;
}

#[tokio::test]
async fn the_firmware_state_of_the_first_enrolment_is_held() {
    let (fixture, mut device) = registered().await;
    device.enrol(&fixture.server).await;
    device.tpm.pcrs[0] = [0x77; 32];
    let answer = device.try_enrol(&fixture.server).await;
    assert_refused(&fixture, &answer, "secure-boot-changed").await;

    fixture.change(EDGE_ID, "forget-firmware").await.unwrap();
    device.enrol(&fixture.server).await;
    assert_eq!(fixture.device(EDGE_ID).await["pcr7"], json!("77".repeat(32)));
}

#[tokio::test]
async fn a_recording_policy_lets_in_and_tells() {
    let fixture = Fixture::start().await;
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    let ek_sha256 = device.tpm.ek_sha256();
    let body = json!({ "edge_id": EDGE_ID, "ek_sha256": ek_sha256, "quote_mode": "record" });
    let _: Value = fixture.admin.post("/api/v1/devices", &body).await.unwrap();
    device.enrol(&fixture.server).await;
    let event = fixture.last_event().await;
    assert_eq!(event["severity"], json!("warning"));
    let deviation = fixture.device(EDGE_ID).await["enrolments"][0]["deviation"].clone();
    assert!(deviation.as_str().unwrap().contains("release-unknown"), "{deviation}");
}

#[tokio::test]
async fn a_key_that_could_leave_the_tpm_is_refused() {
    let (fixture, mut device) = registered().await;
    device.tpm.device_key_attributes =
        ObjectAttributes::SENSITIVE_DATA_ORIGIN | ObjectAttributes::SIGN;
    let answer = device.try_enrol(&fixture.server).await;
    assert_refused(&fixture, &answer, "device-key-attributes").await;
}

#[tokio::test]
async fn an_ak_that_signs_anything_gets_no_nonce() {
    let (fixture, mut device) = registered().await;
    device.tpm.ak_attributes = ObjectAttributes::SIGN | ObjectAttributes::FIXED_TPM;
    let mut connection = device.connect(&fixture.server).await;
    let answer = connection.post(NONCE, device.nonce_request()).await;
    assert_refused(&fixture, &answer, "ak-attributes").await;

    let stranger = Device { edge_id: "SN-9999".parse().unwrap(), ..device };
    let mut other = SoftwareTpm::new(&fixture.site);
    other.ak_attributes = ObjectAttributes::SIGN;
    let stranger = Device { tpm: other, ..stranger };
    let answer = connection.post(NONCE, stranger.nonce_request()).await;
    assert_eq!(answer.code(), "not-accepted");
}

#[tokio::test]
async fn a_replayed_request_is_refused() {
    let (fixture, device) = registered().await;
    let mut connection = device.connect(&fixture.server).await;
    let challenge = device.ask_nonce(&mut connection).await;
    let body = device.answer(&challenge, &connection.exporter);
    assert_eq!(connection.post(ENROL, body.clone()).await.status, StatusCode::OK);
    let answer = connection.post(ENROL, body.clone()).await;
    assert_refused(&fixture, &answer, "nonce-used").await;

    // Elsewhere nothing is known of the nonce.
    let mut other = device.connect(&fixture.server).await;
    assert_eq!(other.post(ENROL, body.clone()).await.code(), "nonce-unknown");
    // And with a nonce of its own, the connection still is another one.
    device.ask_nonce(&mut other).await;
    assert_refused(&fixture, &other.post(ENROL, body).await, "binding-mismatch").await;
    let certificates = fixture.device(EDGE_ID).await["certificates"].clone();
    assert_eq!(certificates.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_failed_attempt_uses_the_nonce_up() {
    let (fixture, mut device) = registered().await;
    let mut connection = device.connect(&fixture.server).await;
    let challenge = device.ask_nonce(&mut connection).await;
    let good = device.answer(&challenge, &connection.exporter);
    device.tpm.pcrs[2] = [1; 32];
    let bad = device.answer(&challenge, &connection.exporter);
    assert_eq!(connection.post(ENROL, bad).await.code(), "command-line-added");
    assert_eq!(connection.post(ENROL, good).await.code(), "nonce-used");
}

#[tokio::test]
async fn a_man_in_the_middle_is_refused() {
    let (fixture, device) = registered().await;
    // The device talks to somebody else, who passes everything on.
    let mut middle = device.connect(&fixture.server).await;
    let challenge = device.ask_nonce(&mut middle).await;
    let body = device.answer(&challenge, &[0x55; 32]);
    assert_refused(&fixture, &middle.post(ENROL, body).await, "binding-mismatch").await;
}

#[tokio::test]
async fn an_expired_nonce_is_refused() {
    let (fixture, device) = registered().await;
    let mut connection = device.connect(&fixture.server).await;
    let challenge = device.ask_nonce(&mut connection).await;
    assert_eq!(challenge.expiry, 600);
    let body = device.answer(&challenge, &connection.exporter);
    fixture.clock.advance(600);
    assert_refused(&fixture, &connection.post(ENROL, body).await, "nonce-expired").await;
}

#[tokio::test]
async fn a_request_without_evidence_is_refused() {
    let (fixture, device) = registered().await;
    let mut connection = device.connect(&fixture.server).await;
    device.ask_nonce(&mut connection).await;
    let body = STANDARD.encode(device.tpm.certificate_request(None));
    assert_refused(&fixture, &connection.post(ENROL, body).await, "evidence-invalid").await;
}

#[tokio::test]
async fn wrapped_base64_is_read() {
    let (fixture, device) = registered().await;
    let mut connection = device.connect(&fixture.server).await;
    let challenge = device.ask_nonce(&mut connection).await;
    let body = device.answer(&challenge, &connection.exporter);
    let lines: Vec<_> = body.as_bytes().chunks(64).collect();
    let wrapped = lines.join(b"\r\n".as_slice());
    assert_eq!(connection.post(ENROL, wrapped).await.status, StatusCode::OK);
}

#[tokio::test]
async fn attested_enrolment_needs_tls_1_3() {
    let (fixture, device) = registered().await;
    let mut connection = Dial::est(&fixture.server).with_tls12().connect().await.unwrap();
    let answer = connection.post(NONCE, device.nonce_request()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.json()["error"]["detail"].as_str().unwrap().contains("TLS 1.3"));
}

#[tokio::test]
async fn bodies_that_are_no_requests() {
    let fixture = Fixture::start().await;
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    let mut connection = device.connect(&fixture.server).await;
    for body in ["", "{}", "[]", "\u{0}"] {
        let answer = connection.post(NONCE, body.to_owned()).await;
        assert_eq!((answer.status, answer.code()), bad_request(), "{body:?}");
        let answer = connection.post(ENROL, body.to_owned()).await;
        assert_eq!((answer.status, answer.code()), bad_request(), "{body:?}");
    }
    let answer = connection.post(NONCE, vec![b' '; 100_000]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.code(), "too-large");
}

fn bad_request() -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, "malformed-request".to_owned())
}

#[tokio::test]
async fn a_flood_of_nonce_requests_is_slowed_for_one_tpm_and_not_for_the_next() {
    let fixture = Fixture::start_with(EnrolmentRates {
        source: Rate { burst: 100, per_minute: 60 },
        device: Rate { burst: 3, per_minute: 6 },
    })
    .await;
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    let mut connection = device.connect(&fixture.server).await;
    for _ in 0..3 {
        device.ask_nonce(&mut connection).await;
    }
    let answer = connection.post(NONCE, device.nonce_request()).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers["retry-after"], "10");
    assert_eq!(answer.code(), "rate-limited");

    let other = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    other.ask_nonce(&mut connection).await;
    fixture.clock.advance(10);
    device.ask_nonce(&mut connection).await;
}
