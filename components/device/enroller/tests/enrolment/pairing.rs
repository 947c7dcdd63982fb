//! Devices that are registered by a pairing code.

use std::fs;

use holdfast_attestation::pairing::PairingCode;

use crate::cloud::Cloud;
use crate::device::Device;

/// Registers by a code and returns it; the connector prints it once.
async fn register(cloud: &Cloud, serial: &str) -> String {
    let body = serde_json::json!({ "edge_id": serial, "binding": "pairing_code" });
    let registered = cloud.post("/api/v1/devices", &body).await;
    registered["pairing_code"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_that_the_operator_carried_lets_the_device_in() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let code = register(&cloud, "SN-0095").await;

    // Another code, or none, is refused.
    let mut device = Device::new("SN-0095", &site);
    let credential = device.path("credentials/pairing-code");
    fs::write(&credential, PairingCode::new([7; 16]).to_string()).unwrap();
    let daemon = device.start();
    daemon.wait_for("refused");
    daemon.stop();
    fs::write(&credential, "none").unwrap();
    let daemon = device.start();
    daemon.wait_for("refused");
    daemon.stop();

    // A mistyped one does not leave the device.
    fs::write(&credential, "0000").unwrap();
    let daemon = device.start();
    assert_eq!(daemon.wait_for("faulted").field("code"), "pairing-code-invalid");
    daemon.stop();

    fs::write(&credential, format!("{}\n", code.to_lowercase())).unwrap();
    let daemon = device.start();
    let device_id = daemon.wait_for("active").field("device_id").to_owned();
    daemon.stop();
    assert_eq!(cloud.devices().await, [(device_id.clone(), "active".to_owned())]);

    // The state volume is lost, the code still lies on the boot partition: the cloud knows the TPM.
    fs::remove_dir_all(device.state()).unwrap();
    device.tpm.power_cycle().unwrap();
    device.measure_boot();
    let daemon = device.start();
    assert_eq!(daemon.wait_for("active").field("device_id"), device_id);
    daemon.stop();

    // Another TPM with the same code is another device.
    device.exchange_tpm();
    fs::remove_dir_all(device.state()).unwrap();
    let daemon = device.start();
    daemon.wait_for("refused");
    daemon.stop();
}
