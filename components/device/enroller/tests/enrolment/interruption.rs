//! The power cut at each step of the way to an identity.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::cloud::Cloud;
use crate::device::Device;

/// The files in the order in which they come to be.
const STEPS: [&str; 8] = [
    "ak.tss",
    "audit.tss",
    "pending.tss",
    "pin.json",
    "pending.crt",
    "device.tss",
    "device.crt",
    "device.pub",
];

fn wait_for_file(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} does not come to be", path.display());
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_at_each_step_the_device_ends_with_one_identity() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let mut device = Device::new("SN-0020", &site);
    let daemon = device.start();
    let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
    daemon.stop();
    cloud.operate(&["device", "register", "SN-0020", "--ek-sha256", &ek]).await;

    for step in STEPS {
        let _ = std::fs::remove_dir_all(device.state());
        let daemon = device.start();
        wait_for_file(&device.state().join(step));
        device.cut_power(daemon);
        let daemon = device.start();
        while daemon.wait_for("active").field("offline") != "false" {}
        daemon.stop();
        let devices = cloud.devices().await;
        assert_eq!(devices.len(), 1, "cut at {step}");
        assert_eq!(devices[0].1, "active", "cut at {step}");
        let left: Vec<_> = std::fs::read_dir(device.state())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("pending") || name.starts_with('.'))
            .collect();
        assert!(left.is_empty(), "cut at {step}: {left:?}");
    }
}
