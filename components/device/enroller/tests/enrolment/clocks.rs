//! Time that is wrong, time that has passed, and power that comes and goes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_enroll::certificate::Chain;

use crate::cloud::Cloud;
use crate::device::Device;

const DAY: u64 = 86_400;
/// libfaketime: what the daemon reads as the real time clock is what the test says.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_at_1970() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let mut device = Device::new("SN-0070", &site);
    device.environment = vec![
        ("LD_PRELOAD", FAKETIME.to_owned()),
        ("FAKETIME", "@1970-01-01 00:00:10".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let (daemon, device_id) = device.enrolled(&cloud, "SN-0070").await;
    let identity = device.identity().await;
    let expires = identity.certificate_expires().await.unwrap();
    assert!(expires.abs_diff(now() + 90 * DAY) < DAY, "{expires}");
    let last_seen: u64 = device.read_state("last-seen").trim().parse().unwrap();
    assert!(last_seen.abs_diff(now()) < DAY, "the server's time was not taken: {last_seen}");
    daemon.stop();

    // The clock is lost again, the certificate is not.
    let daemon = device.start();
    assert_eq!(daemon.online(), device_id);
    assert_eq!(cloud.acts("est.enrol").await, 1);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_with_the_server_away_for_30_days() {
    let mut cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("SN-0071", &site);
    let (daemon, device_id) = device.enrolled(&cloud, "SN-0071").await;
    daemon.stop();
    let first = Chain::from_pem(&device.read_state("device.crt")).unwrap();
    let key = device.read_state("device.tss");

    // Away from day 58 to day 88 of 90: renewal falls due in between.
    cloud.stop().await;
    let daemon = device.start();
    assert_eq!(daemon.wait_for("active").field("offline"), "true");
    let identity = device.identity().await;
    let error = identity.renew().await.unwrap_err().to_string();
    assert!(error.contains("cannot reach"), "{error}");
    assert_eq!(identity.state().await.unwrap(), "active");
    assert_eq!(identity.last_error_code().await.unwrap(), "server-unreachable");
    assert!(identity.next_attempt().await.unwrap() > 0, "the device must go on by itself");

    let mut renewals =
        futures_util::StreamExt::fuse(identity.receive_certificate_renewed().await.unwrap());
    cloud.travel(88).await;
    let renewed = futures_util::StreamExt::next(&mut renewals);
    tokio::time::timeout(Duration::from_secs(120), renewed).await.unwrap().unwrap();
    assert_eq!(identity.state().await.unwrap(), "active");
    let second = Chain::from_pem(&device.read_state("device.crt")).unwrap();
    assert!(second.not_after() > first.not_after() + 80 * DAY);
    assert_ne!(device.read_state("device.tss"), key, "renewal must bring a new key");
    assert_eq!(cloud.devices().await, [(device_id, "active".to_owned())]);
    // By the certificate, which was still good: not by the endorsement key.
    assert_eq!(cloud.acts("est.renew").await, 1);
    assert_eq!(cloud.acts("est.enrol").await, 1);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_years_powered_off() {
    for (serial, image_is_new) in [("SN-0072", false), ("SN-0073", true)] {
        let mut cloud = Cloud::start().await;
        let site = cloud.make_site().await;
        let device = Device::new(serial, &site);
        let (daemon, device_id) = device.enrolled(&cloud, serial).await;
        daemon.stop();
        let first = device.read_state("device.crt");

        // Longer than the device's certificate and the server's.
        cloud.travel(730).await;
        if image_is_new {
            // Then the device knows by itself that its certificate has expired; otherwise the
            // server tells it.
            device.set_build_time(now() + 729 * DAY);
        }
        let daemon = device.start();
        assert_eq!(daemon.wait_for("enrolled").field("device_id"), device_id, "{serial}");
        assert_eq!(daemon.wait_for("active").field("offline"), "false", "{serial}");
        assert_ne!(device.read_state("device.crt"), first);
        assert_eq!(cloud.devices().await, [(device_id, "active".to_owned())]);
        assert_eq!(cloud.acts("est.enrol").await, 2, "back by endorsement key and quote");
        daemon.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_cold_power_cycles() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let mut device = Device::new("SN-0074", &site);
    let (mut daemon, device_id) = device.enrolled(&cloud, "SN-0074").await;
    let files = ["ak.tss", "audit.tss", "device.tss", "device.crt", "device.pub", "pin.json"];
    let read = |device: &Device| files.map(|name| device.read_state(name));
    let before = read(&device);
    for cycle in 1..=20 {
        device.cut_power(daemon);
        daemon = device.start();
        assert_eq!(daemon.online(), device_id, "cycle {cycle}");
        assert_eq!(read(&device), before, "cycle {cycle}");
    }
    daemon.stop();
    assert_eq!(cloud.devices().await, [(device_id, "active".to_owned())]);
    assert_eq!(cloud.acts("est.enrol").await, 1);
}
