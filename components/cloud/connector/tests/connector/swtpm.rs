//! The whole enrolment with a software TPM.

use holdfast_attestation::pcr::site_measurement;
use holdfast_audit_log::checkpoint::KeyId;
use holdfast_audit_log::frame::{Class, Kind};
use holdfast_tpm::swtpm::Manufacturer;
use serde_json::json;

use crate::support::audit_log::{Log, registration, start};
use crate::support::device::{Device, Tpm as _};
use crate::support::http::Dial;
use crate::support::software::SoftwareTpm;
use crate::support::swtpm::Swtpm;
use crate::support::{Fixture, release};

#[tokio::test]
async fn a_software_tpm_enrols_with_what_it_booted_and_not_after_more_was_booted() {
    let fixture = Fixture::start().await;
    let chip = Manufacturer::found().unwrap().make().unwrap();
    let tpm = chip.open().unwrap();
    tpm.pcr_extend(11, &[0xAB; 32]).unwrap();
    tpm.pcr_extend(14, &site_measurement(fixture.site.as_bytes())).unwrap();
    let booted = tpm.pcr_read(&[11]).unwrap()[0].digest;
    let device = Device::new("SN-0007", Swtpm::new(tpm));
    assert!(!device.tpm.ek_certificates().is_empty());
    fixture.register("SN-0007", device.tpm.ek_sha256()).await;

    let refused = device.try_enrol(&fixture.server).await;
    assert_eq!(refused.code(), "release-unknown");
    let _: serde_json::Value =
        fixture.admin.post("/api/v1/releases", &release(booted)).await.unwrap();
    let chain = device.enrol(&fixture.server).await;
    assert_eq!(chain.len(), 2);

    let shown = fixture.device("SN-0007").await;
    assert_eq!(shown["state"], json!("enrolled"));
    let enrolment = &shown["enrolments"][0];
    let booted = "0.1.0 (release), enter-initrd:leave-initrd:sysinit";
    assert_eq!(enrolment["release"], json!(booted));
    assert_eq!(enrolment["pcrs"].as_array().unwrap().len(), 4);

    // Another TPM cannot take the place, whatever it says.
    let other = Manufacturer::found().unwrap().make().unwrap();
    let thief = Device::new("SN-0007", Swtpm::new(other.open().unwrap()));
    assert_eq!(thief.try_enrol(&fixture.server).await.code(), "not-accepted");
    let event = fixture.last_event().await;
    assert_eq!(event["code"], json!("edge-id-bound-elsewhere"));
    assert_eq!(event["severity"], json!("alert"));
}

#[tokio::test]
async fn a_software_tpm_proves_the_key_of_its_audit_log_and_signs_it() {
    let fixture = Fixture::start().await;
    let chip = Manufacturer::found().unwrap().make().unwrap();
    let device = Device::new("SN-0008", fixture.boot(&chip).await);
    fixture.register("SN-0008", device.tpm.ek_sha256()).await;
    let chain = device.enrol(&fixture.server).await;
    let dial = Dial::device(&fixture.server).with_key(chain, device.tpm.tls_key());
    let mut connection = dial.connect().await.unwrap();

    let mut log = Log::new(&SoftwareTpm::new(&fixture.site));
    let body = registration(&device.tpm.certify_audit_key(log.origin()), &json!(null));
    let answer = log.register_with(&mut connection, &body).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    log.append(Class::System, Kind::Boot, b"{}");
    let checkpoint = log.appender.checkpoint(Some(start(1)));
    let signature = device.tpm.sign_checkpoint(&checkpoint.signing_digest());
    let key = KeyId::of_spki(&device.tpm.audit_key_spki());
    let mut forged = log.clone();
    forged.sign(checkpoint.clone());
    let note = checkpoint.signed(key, signature).to_string();
    log.append(Class::Log, Kind::Checkpoint, note.as_bytes());
    let refused = forged.put(&mut connection, 0..2).await;
    assert_eq!(refused.code(), "audit-checkpoint-invalid");
    let answer = log.put(&mut connection, 0..2).await;
    assert_eq!(answer.json()["size"], json!(2), "{}", answer.json());
}
