//! Registrations that know their device by other things than the hash of its TPM.

use holdfast_attestation::pairing::PairingCode;
use holdfast_tpm::swtpm::Manufacturer;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::Fixture;
use crate::support::device::{Device, Tpm as _};
use crate::support::http::{Answer, Dial};
use crate::support::software::SoftwareTpm;
use crate::support::swtpm::Swtpm;

const EDGE_ID: &str = "SN-0001";
const SELF: &str = "/api/v1/device/self";
const DAY: i64 = 24 * 3600;

/// The answer that everybody hears who is not meant, and what the operator sees.
async fn assert_stranger(fixture: &Fixture, answer: &Answer, code: &str, severity: &str) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.code(), "not-accepted");
    let event = fixture.last_event().await;
    assert_eq!((&event["code"], &event["severity"]), (&json!(code), &json!(severity)));
}

#[tokio::test]
async fn the_first_tpm_of_an_allowed_maker_is_bound_once_it_is_approved() {
    let fixture = Fixture::start().await;
    let maker = Manufacturer::found().unwrap();
    let (first, second) = (maker.make().unwrap(), maker.make().unwrap());
    fixture.allow(&maker).await;
    let registered = fixture.register_by(EDGE_ID, "ek_ca", json!({})).await;
    assert_eq!(registered["approval"], json!("manual"));
    assert_eq!(registered["ek_sha256"], Value::Null);

    let device = Device::new(EDGE_ID, fixture.boot(&first).await);
    let answer = device.try_enrol(&fixture.server).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::ACCEPTED, "approval-pending".into()));
    // The operator approves a TPM, not a name: it is bound from here on.
    let shown = fixture.device(EDGE_ID).await;
    assert_eq!(shown["state"], json!("pending"));
    assert_eq!(shown["ek_sha256"], json!(device.tpm.ek_sha256()));
    assert_eq!(shown["tpm_unproven"], json!(false));
    let late = Device::new(EDGE_ID, fixture.boot(&second).await);
    let answer = late.try_enrol(&fixture.server).await;
    assert_stranger(&fixture, &answer, "edge-id-bound-elsewhere", "alert").await;

    fixture.change(EDGE_ID, "approve").await.unwrap();
    let answer = late.try_enrol(&fixture.server).await;
    assert_stranger(&fixture, &answer, "edge-id-bound-elsewhere", "alert").await;
    device.enrol(&fixture.server).await;

    // One TPM has one name.
    fixture.register_by("SN-0002", "ek_ca", json!({ "approval": "auto" })).await;
    let renamed = Device { edge_id: "SN-0002".parse().unwrap(), ..device };
    assert_eq!(renamed.try_enrol(&fixture.server).await.code(), "ek-bound-elsewhere");
}

#[tokio::test]
async fn software_tpm_where_a_vendor_ca_is_required() {
    let fixture = Fixture::start().await;
    let vendor = Manufacturer::found().unwrap();
    let genuine = vendor.make().unwrap();
    fixture.allow(&vendor).await;
    fixture.register_by(EDGE_ID, "ek_ca", json!({ "approval": "auto" })).await;

    // A TPM in software with a CA of its own that calls itself what it likes.
    let attacker = Manufacturer::found().unwrap().make().unwrap();
    let attacker = Device::new(EDGE_ID, fixture.boot(&attacker).await);
    assert!(!attacker.tpm.ek_certificates().is_empty());
    let answer = attacker.try_enrol(&fixture.server).await;
    assert_stranger(&fixture, &answer, "ek-not-trusted", "alert").await;
    // One without any certificate.
    let blank = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    let answer = blank.try_enrol(&fixture.server).await;
    assert_stranger(&fixture, &answer, "ek-not-trusted", "alert").await;
    // A name that is not registered sounds the same.
    let unknown = Device { edge_id: "SN-9999".parse().unwrap(), ..blank };
    let answer = unknown.try_enrol(&fixture.server).await;
    assert_stranger(&fixture, &answer, "not-registered", "warning").await;
    let shown = fixture.device(EDGE_ID).await;
    assert_eq!((&shown["ek_sha256"], &shown["state"]), (&Value::Null, &json!("registered")));

    Device::new(EDGE_ID, fixture.boot(&genuine).await).enrol(&fixture.server).await;
}

#[tokio::test]
async fn a_ca_that_is_removed_vouches_for_no_new_tpm() {
    let fixture = Fixture::start().await;
    let maker = Manufacturer::found().unwrap();
    let (first, second) = (maker.make().unwrap(), maker.make().unwrap());
    fixture.allow(&maker).await;
    for edge_id in [EDGE_ID, "SN-0002"] {
        fixture.register_by(edge_id, "ek_ca", json!({ "approval": "auto" })).await;
    }
    let bound = Device::new(EDGE_ID, fixture.boot(&first).await);
    bound.enrol(&fixture.server).await;
    let cas: Value = fixture.admin.get("/api/v1/ek-cas").await.unwrap();
    for ca in cas["items"].as_array().unwrap() {
        let path = format!("/api/v1/ek-cas/{}/remove", ca["sha256"].as_str().unwrap());
        let _: Value = fixture.admin.post(&path, &json!({})).await.unwrap();
    }
    assert_eq!(fixture.audit().await[0].0, "ek-ca.remove");
    let late = Device::new("SN-0002", fixture.boot(&second).await);
    let answer = late.try_enrol(&fixture.server).await;
    assert_stranger(&fixture, &answer, "ek-not-trusted", "alert").await;
    bound.enrol(&fixture.server).await;
}

#[tokio::test]
async fn what_is_no_ca_is_not_allowed() {
    let fixture = Fixture::start().await;
    let maker = Manufacturer::found().unwrap();
    let leaf = maker.make().unwrap().ek_certificate_der().unwrap().unwrap();
    let leaf = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, &leaf).unwrap();
    let good = maker.ca_certificates_pem().unwrap().concat();
    for (certificates, says) in [
        (String::new(), "no certificate"),
        ("text".to_owned(), "no certificate"),
        (format!("{good}{leaf}"), "certificate 3"),
        (good.replace("MII", "MIJ"), "certificate 1"),
    ] {
        let body = json!({ "certificates": certificates });
        let refused = fixture.admin.post::<Value>("/api/v1/ek-cas", &body).await.unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
    }
    let cas: Value = fixture.admin.get("/api/v1/ek-cas").await.unwrap();
    assert_eq!(cas["items"], json!([]));
}

/// Registers by a code, which the device gets.
async fn paired(fixture: &Fixture) -> Device<SoftwareTpm> {
    fixture.publish_release().await;
    let registered = fixture.register_by(EDGE_ID, "pairing_code", json!({})).await;
    let code: PairingCode = registered["pairing_code"].as_str().unwrap().parse().unwrap();
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    Device { pairing_code: code.as_bytes().to_vec(), ..device }
}

#[tokio::test]
async fn a_pairing_code_binds_the_tpm_that_has_it() {
    let fixture = Fixture::start().await;
    let mut device = paired(&fixture).await;
    let told = fixture.device(EDGE_ID).await.to_string();
    assert!(!told.contains("pairing_code\":\""), "{told}");

    let stranger = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    let answer = stranger.try_enrol(&fixture.server).await;
    assert_stranger(&fixture, &answer, "binding-mismatch", "warning").await;
    let guessed = Device { pairing_code: vec![7; 16], ..stranger };
    let answer = guessed.try_enrol(&fixture.server).await;
    assert_stranger(&fixture, &answer, "binding-mismatch", "warning").await;
    assert_eq!(fixture.device(EDGE_ID).await["ek_sha256"], Value::Null);

    let chain = device.enrol(&fixture.server).await;
    let shown = fixture.device(EDGE_ID).await;
    assert_eq!(shown["ek_sha256"], json!(device.tpm.ek_sha256()));
    assert_eq!(shown["tpm_unproven"], json!(true));
    // The code is used up: another TPM that has it is one too many.
    let thief = Device { pairing_code: device.pairing_code.clone(), ..guessed };
    let answer = thief.try_enrol(&fixture.server).await;
    assert_stranger(&fixture, &answer, "binding-mismatch", "alert").await;

    // The answer may have been lost: until the device is active it asks again with its code.
    device.enrol(&fixture.server).await;
    let dial = Dial::device(&fixture.server).with_identity(chain, device.tpm.private_key());
    dial.connect().await.unwrap().get(SELF).await.unwrap();
    device.tpm.renew_device_key();
    assert_eq!(device.try_enrol(&fixture.server).await.code(), "binding-mismatch");
    device.pairing_code.clear();
    device.enrol(&fixture.server).await;
}

#[tokio::test]
async fn a_tpm_that_a_maker_vouches_for_is_proven_beside_its_code() {
    let fixture = Fixture::start().await;
    let maker = Manufacturer::found().unwrap();
    let chip = maker.make().unwrap();
    fixture.allow(&maker).await;
    let registered = fixture.register_by(EDGE_ID, "pairing_code", json!({})).await;
    let code: PairingCode = registered["pairing_code"].as_str().unwrap().parse().unwrap();
    let device: Device<Swtpm> = Device::new(EDGE_ID, fixture.boot(&chip).await);
    let device = Device { pairing_code: code.as_bytes().to_vec(), ..device };
    device.enrol(&fixture.server).await;
    assert_eq!(fixture.device(EDGE_ID).await["tpm_unproven"], json!(false));
}

#[tokio::test]
async fn who_has_the_code_hears_why_he_is_refused() {
    let fixture = Fixture::start().await;
    let mut device = paired(&fixture).await;
    device.tpm.pcrs[2] = [0xCC; 32];
    assert_eq!(device.try_enrol(&fixture.server).await.code(), "command-line-added");
}

#[tokio::test]
async fn a_code_ends_with_its_registration() {
    let fixture = Fixture::start().await;
    let device = paired(&fixture).await;
    fixture.clock.advance(7 * DAY);
    let answer = device.try_enrol(&fixture.server).await;
    assert_stranger(&fixture, &answer, "registration-expired", "warning").await;
}

#[tokio::test]
async fn a_registration_that_ended_lets_its_tpm_in_no_more() {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let mut device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    let end = fixture.server.app().now() + time::Duration::days(1);
    let end = end.format(&time::format_description::well_known::Rfc3339).unwrap();
    let more = json!({ "ek_sha256": device.tpm.ek_sha256(), "not_after": end });
    fixture.register_by(EDGE_ID, "ek_sha256", more.clone()).await;
    fixture.clock.advance(DAY);
    assert_eq!(device.try_enrol(&fixture.server).await.code(), "registration-expired");

    // It ends for those who have not enrolled.
    fixture.change(EDGE_ID, "retire").await.unwrap();
    fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
    device.enrol(&fixture.server).await;
    fixture.clock.advance(DAY);
    device.tpm.renew_device_key();
    device.enrol(&fixture.server).await;
}

#[tokio::test]
async fn rebinding_gives_any_registration_to_a_named_tpm() {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    for (number, binding) in ["ek_ca", "pairing_code", "plain_est"].into_iter().enumerate() {
        let edge_id = format!("SN-100{number}");
        fixture.register_by(&edge_id, binding, json!({})).await;
        let device = Device::new(&edge_id, SoftwareTpm::new(&fixture.site));
        let body = json!({ "ek_sha256": device.tpm.ek_sha256() });
        let path = format!("/api/v1/devices/{edge_id}/rebind");
        let rebound: Value = fixture.admin.post(&path, &body).await.unwrap();
        assert_eq!(rebound["binding"], json!("ek_sha256"));
        assert_eq!(fixture.audit().await[0].0, "registry.rebind");
        if binding == "ek_ca" {
            assert_eq!(device.try_enrol(&fixture.server).await.status, StatusCode::ACCEPTED);
            fixture.change(&edge_id, "approve").await.unwrap();
        }
        device.enrol(&fixture.server).await;
    }
}

#[tokio::test]
async fn registrations_that_contradict_themselves() {
    let fixture = Fixture::start().await;
    let ek = "ab".repeat(32);
    for (body, says) in [
        (json!({ "edge_id": EDGE_ID }), "ek_sha256: it is missing"),
        (json!({ "edge_id": EDGE_ID, "binding": "ek_ca", "ek_sha256": ek }), "names no TPM"),
        (json!({ "edge_id": EDGE_ID, "binding": "plain_est", "ek_sha256": ek }), "names no TPM"),
        (json!({ "edge_id": EDGE_ID, "binding": "trust" }), "unknown variant"),
        (
            json!({ "edge_id": EDGE_ID, "binding": "ek_ca", "not_after": "2020-01-01T00:00:00Z" }),
            "in the past",
        ),
    ] {
        let refused = fixture.admin.post::<Value>("/api/v1/devices", &body).await.unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
    }
}
