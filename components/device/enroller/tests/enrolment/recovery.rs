//! Handing recovery keys over to the connector.

use std::fs;
use std::time::{Duration, Instant};

use holdfast_recovery::{KeySet, Occasion, Operator, RecoveryKey, Statement, WrappedKey};
use rand_core::OsRng;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::cloud::Cloud;
use crate::device::Device;

const PATIENCE: Duration = Duration::from_secs(120);

fn key_set(number: u8) -> Vec<u8> {
    let operator = Operator::generate(&mut OsRng).unwrap();
    let statement = Statement {
        edge_id: "SN-0009".into(),
        luks_uuid: "6b1e2a34-1f7c-4f2a-9a55-0d7c3a2b1c0d".into(),
        keyslot: u32::from(number),
        created: time::OffsetDateTime::UNIX_EPOCH,
        occasion: Occasion::First,
        key: RecoveryKey::from_bytes(&[number; 32]),
    };
    let wrapped = WrappedKey::seal(&statement, operator.recipient()).unwrap();
    serde_json::to_vec(&KeySet::new(vec![wrapped])).unwrap()
}

/// Waits until the daemon notes that the connector has these keys.
async fn wait_acknowledged(device: &Device, keys: &[u8]) {
    let digest = hex::encode(Sha256::digest(keys));
    let path = device.state().join(holdfast_enroll::recovery::ACKNOWLEDGED);
    let deadline = Instant::now() + PATIENCE;
    while fs::read_to_string(&path).ok().as_deref() != Some(digest.as_str()) {
        assert!(Instant::now() < deadline, "the connector has no recovery keys");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn slots(cloud: &Cloud) -> Vec<u64> {
    let keys: Value = cloud.get("/api/v1/devices/SN-0009/recovery-key").await;
    keys["items"].as_array().unwrap().iter().map(|k| k["keyslot"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_keys_reach_the_connector_also_after_it_was_away() {
    let mut cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let mut device = Device::new("SN-0009", &site);
    let keys_file = device.path("keys.json");
    device.arguments = vec!["--recovery-keys".into(), keys_file.display().to_string()];
    let first = key_set(1);
    fs::write(&keys_file, &first).unwrap();

    let daemon = device.start();
    let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
    daemon.stop();
    cloud.operate(&["device", "register", "SN-0009", "--ek-sha256", &ek]).await;
    let daemon = device.start();
    daemon.wait_for("active");
    wait_acknowledged(&device, &first).await;
    assert_eq!(slots(&cloud).await, [1]);

    // Other keys while the connector is away: the old acknowledgement does not stand for them.
    cloud.stop().await;
    let second = key_set(2);
    fs::write(&keys_file, &second).unwrap();
    cloud.resume().await;
    wait_acknowledged(&device, &second).await;
    assert_eq!(slots(&cloud).await, [2]);
    daemon.stop();

    // They are not sent again.
    let daemon = device.start();
    daemon.wait_for("active");
    let records: Value = cloud.get("/api/v1/audit").await;
    let records = records["items"].as_array().unwrap();
    let stored = records.iter().filter(|r| r["record"]["action"] == "recovery.store").count();
    assert_eq!(stored, 2);
    daemon.stop();
}
