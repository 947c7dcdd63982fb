//! What a device shows when it is not welcome, and how it recovers.

use std::time::Duration;

use crate::cloud::Cloud;
use crate::device::Device;

#[tokio::test(flavor = "multi_thread")]
async fn an_unregistered_device_is_refused_and_recovers_when_it_is_registered() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("SN-0010", &site);
    let daemon = device.start();
    let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
    let refused = daemon.wait_for("refused");
    assert_eq!(refused.field("code"), "not-accepted");
    let events =
        cloud.get(&format!("/api/v1/events?request_id={}", refused.field("request_id"))).await;
    assert!(events.to_string().contains("SN-0010"), "{events}");

    let identity = device.identity().await;
    assert_eq!(identity.last_error_code().await.unwrap(), "not-accepted");
    assert!(identity.last_error().await.unwrap().contains("register this device"));

    cloud.operate(&["device", "register", "SN-0010", "--ek-sha256", &ek]).await;
    assert_eq!(daemon.wait_for("active").field("offline"), "false");
    assert_eq!(identity.last_error_code().await.unwrap(), "");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_in_another_machine_gives_no_identity() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let mut device = Device::new("SN-0011", &site);
    let daemon = device.start();
    let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
    cloud.operate(&["device", "register", "SN-0011", "--ek-sha256", &ek]).await;
    let device_id = daemon.wait_for("active").field("device_id").to_owned();
    daemon.stop();

    device.exchange_tpm();
    let mut daemon = device.start();
    assert_eq!(daemon.wait_for("faulted").field("code"), "foreign-tpm");
    daemon.never("active", Duration::from_secs(3));
    assert!(!daemon.has_ended());
    let identity = device.identity().await;
    assert_eq!(identity.state().await.unwrap(), "faulted");
    assert!(identity.last_error().await.unwrap().contains(&ek));
    assert!(identity.get_certificate_chain().await.is_err());
    assert!(identity.sign("device", "rsa-pss-sha256", &[0; 32]).await.is_err());
    daemon.stop();

    // Without the pin, the keys themselves refuse to load.
    std::fs::remove_file(device.state().join("pin.json")).unwrap();
    let daemon = device.start();
    assert_eq!(daemon.wait_for("faulted").field("code"), "key-unusable");
    daemon.never("active", Duration::from_secs(3));
    daemon.stop();

    // Without any files it is another device under a known name.
    std::fs::remove_dir_all(device.state()).unwrap();
    let daemon = device.start();
    assert_eq!(daemon.wait_for("refused").field("code"), "not-accepted");
    daemon.stop();
    assert_eq!(cloud.devices().await, [(device_id, "active".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_device_is_refused_until_it_is_resumed() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("SN-0012", &site);
    let daemon = device.start();
    let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
    cloud.operate(&["device", "register", "SN-0012", "--ek-sha256", &ek]).await;
    daemon.wait_for("active");
    daemon.stop();

    cloud.operate(&["device", "suspend", "SN-0012"]).await;
    let daemon = device.start();
    assert_eq!(daemon.wait_for("active").field("offline"), "true");
    assert_eq!(daemon.wait_for("refused").field("code"), "suspended");
    let identity = device.identity().await;
    assert_eq!(identity.state().await.unwrap(), "refused");
    assert!(identity.last_error().await.unwrap().contains("resume the device"));
    cloud.operate(&["device", "resume", "SN-0012"]).await;
    assert_eq!(daemon.wait_for("active").field("offline"), "false");
    assert_eq!(identity.state().await.unwrap(), "active");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_waits_for_approval() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("SN-0013", &site);
    let daemon = device.start();
    let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
    cloud
        .operate(&["device", "register", "SN-0013", "--ek-sha256", &ek, "--approval", "manual"])
        .await;
    while daemon.wait_for("refused").field("code") != "approval-pending" {}
    let identity = device.identity().await;
    assert_eq!(identity.state().await.unwrap(), "waiting_for_approval");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(identity.next_attempt().await.unwrap() >= now.as_secs() + 50, "Retry-After ignored");
    let key = device.read_state("pending.tss");
    daemon.stop();

    cloud.operate(&["device", "approve", "SN-0013"]).await;
    let daemon = device.start();
    daemon.wait_for("active");
    assert_eq!(device.read_state("device.tss"), key, "approval must not need another key");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_booted_something_else_is_not_enrolled() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("SN-0014", &site);
    device.tpm.open().unwrap().pcr_extend(11, &[0xbd; 32]).unwrap();
    let daemon = device.start();
    let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
    cloud.operate(&["device", "register", "SN-0014", "--ek-sha256", &ek]).await;
    while daemon.wait_for("refused").field("code") != "release-unknown" {}
    let identity = device.identity().await;
    assert!(identity.last_error().await.unwrap().contains("publish this release"));
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_of_another_site_is_not_trusted() {
    let real = Cloud::start().await;
    let impostor = Cloud::start().await;
    let site = real.make_site().await;
    let impostors_site = impostor.make_site().await;
    // The real site's anchors, the impostor's addresses.
    let anchors = |path: &std::path::Path| {
        let site = holdfast_site::Site::parse(&std::fs::read(path).unwrap()).unwrap();
        (site.anchors().to_vec(), site.connector.clone(), site)
    };
    let (anchors_of_site, _, parsed) = anchors(&site);
    let (_, connector, _) = anchors(&impostors_site);
    let redirected = holdfast_site::Site::new(
        parsed.tenant.clone(),
        parsed.edge_id_source.clone(),
        connector,
        anchors_of_site,
        None,
    )
    .unwrap();
    std::fs::write(&site, redirected.to_toml().unwrap()).unwrap();

    let device = Device::new("SN-0015", &site);
    let daemon = device.start();
    assert_eq!(daemon.wait_for("waiting").field("code"), "server-not-trusted");
    let identity = device.identity().await;
    assert_eq!(identity.state().await.unwrap(), "waiting_for_network");
    daemon.never("enrolled", Duration::from_secs(2));
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_site_configuration_the_device_waits_for_one() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("SN-0016", &site);
    let aside = site.with_extension("aside");
    std::fs::rename(&site, &aside).unwrap();
    let daemon = device.start();
    assert_eq!(daemon.wait_for("waiting").field("code"), "site-missing");
    let identity = device.identity().await;
    assert_eq!(identity.state().await.unwrap(), "waiting_for_site");
    std::fs::rename(&aside, &site).unwrap();
    daemon.wait_for("enroller started");
    daemon.stop();
}
