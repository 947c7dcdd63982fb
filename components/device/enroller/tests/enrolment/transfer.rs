//! Devices that move from one cloud to another.

use crate::cloud::Cloud;
use crate::device::Device;

#[tokio::test(flavor = "multi_thread")]
async fn a_device_moves_to_another_cloud_only_as_the_old_one_allows() {
    let (old, new) = (Cloud::start().await, Cloud::start().await);
    let old_site = old.make_site().await;
    let mut device = Device::new("SN-0090", &old_site);
    let (daemon, former_id) = device.enrolled(&old, "SN-0090").await;
    daemon.stop();
    let text = std::fs::read_to_string(&old_site).unwrap();
    let tenant = holdfast_site::Site::parse(text.as_bytes()).unwrap().tenant.to_string();

    // The new cloud would take the device, but the device belongs to the old one.
    let new_site = new.make_site().await;
    device.boot_with(&new_site);
    let daemon = device.start();
    assert_eq!(daemon.wait_for("faulted").field("code"), "site-changed");
    daemon.stop();

    // The new cloud cannot let it go.
    let out = new_site.with_file_name("site.transfer");
    let transfer = ["site", "transfer", new_site.to_str().unwrap(), "--tenant", &tenant, "--out"];
    let arguments: Vec<&str> = transfer.into_iter().chain([out.to_str().unwrap()]).collect();
    new.operate(&arguments).await;
    let daemon = device.start();
    assert_eq!(daemon.wait_for("faulted").field("code"), "site-changed");
    daemon.stop();
    assert!(device.state().join("device.crt").exists());

    // The old one can.
    old.operate(&arguments).await;
    assert_eq!(old.acts("site.transfer").await, 1);
    let (daemon, device_id) = device.enrolled(&new, "SN-0090").await;
    assert_ne!(device_id, former_id);
    daemon.stop();
    assert_eq!(new.devices().await, [(device_id, "active".to_owned())]);

    // It belongs to the new cloud now: the old one's site is a foreign one.
    std::fs::remove_file(&out).unwrap();
    device.boot_with(&old_site);
    let daemon = device.start();
    assert_eq!(daemon.wait_for("faulted").field("code"), "site-changed");
    daemon.stop();
}
