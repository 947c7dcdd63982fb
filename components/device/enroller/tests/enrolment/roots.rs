//! Roots that are rolled over.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::cloud::Cloud;
use crate::device::Device;

fn wait_for_file(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < deadline, "there is no {}", path.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The id of the former root.
async fn former_root(cloud: &Cloud) -> String {
    let authority = cloud.get("/api/v1/authority").await;
    authority["cas"][1]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_ca_rolled_while_the_device_was_off() {
    let cloud = Cloud::start().await;
    let old_site = cloud.make_site().await;
    let named_old = std::fs::read_to_string(&old_site).unwrap();
    let mut device = Device::new("SN-0080", &old_site);
    let (daemon, device_id) = device.enrolled(&cloud, "SN-0080").await;
    daemon.stop();
    assert!(!device.state().join("roots.json").exists());

    let key = cloud.path("root-2.key");
    cloud.operate(&["ca", "roll-root", "--new-root-key", key.to_str().unwrap()]).await;
    let daemon = device.start();
    assert_eq!(daemon.online(), device_id);
    wait_for_file(&device.state().join("roots.json"));
    // A certificate below the new root; nothing is left that hangs on the old one.
    let renewed = device.identity().await.renew().await.unwrap();
    cloud.operate(&["ca", "retire", &former_root(&cloud).await]).await;
    daemon.stop();

    // The site configuration still names the old root alone.
    let daemon = device.start();
    assert_eq!(daemon.online(), device_id);
    assert_eq!(device.identity().await.renew().await.unwrap().len(), renewed.len());
    daemon.stop();

    // One that names the new root is the same site's.
    let new_site = cloud.make_site().await;
    assert_ne!(std::fs::read_to_string(&new_site).unwrap(), named_old);
    device.boot_with(&new_site);
    let daemon = device.start();
    assert_eq!(daemon.online(), device_id);
    daemon.stop();
    assert_eq!(cloud.devices().await, [(device_id, "active".to_owned())]);
}

/// The new root of another connector is not this site's, whatever the list of roots says.
#[tokio::test(flavor = "multi_thread")]
async fn man_in_the_middle_ca() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let mut device = Device::new("SN-0081", &site);
    let (daemon, device_id) = device.enrolled(&cloud, "SN-0081").await;
    daemon.stop();

    // A successor that the other's root signed, put into the list.
    let other = Cloud::start().await;
    let other_site = other.make_site().await;
    let key = other.path("root-2.key");
    let stranger = Device::new("SN-0082", &other_site);
    let (daemon, _) = stranger.enrolled(&other, "SN-0082").await;
    daemon.stop();
    other.operate(&["ca", "roll-root", "--new-root-key", key.to_str().unwrap()]).await;
    let daemon = stranger.start();
    wait_for_file(&stranger.state().join("roots.json"));
    daemon.stop();
    let list = device.state().join("roots.json");
    std::fs::copy(stranger.state().join("roots.json"), &list).unwrap();

    let daemon = device.start();
    assert_eq!(daemon.online(), device_id);
    daemon.stop();
    // The other's site configuration, as if its server were ours: refused before any connection.
    device.boot_with(&other_site);
    let daemon = device.start();
    let faulted = daemon.wait_for("faulted");
    assert_eq!(faulted.field("code"), "site-changed");
    daemon.stop();

    // What cannot be read is dropped, and the server is asked again.
    device.boot_with(&site);
    std::fs::write(&list, "[{\"old\": 1}]").unwrap();
    let daemon = device.start();
    assert_eq!(daemon.online(), device_id);
    daemon.stop();
    assert!(!list.exists());
}
