//! The whole enrolment with a software TPM.

use holdfast_attestation::pcr::site_measurement;
use holdfast_tpm::swtpm::Manufacturer;
use serde_json::json;

use crate::support::device::{Device, Tpm as _};
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
