//! What the cloud says of USB ports reaches the USB daemon.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast_ipc::{CallError, ErrorKind};
use holdfast_policy_document::ReadPolicy;
use holdfast_usb::policy::DeviceIdentity;
use zbus::Connection;
use zbus::connection::Builder;

use crate::cloud::Cloud;
use crate::device::Device;

const PATIENCE: Duration = Duration::from_secs(60);

/// As much of the USB daemon as takes policies; it judges them as the real one does.
#[derive(Clone, Default)]
struct Usb(Arc<Mutex<Vec<ReadPolicy>>>);

#[zbus::interface(name = "org.holdfast.Usb1")]
impl Usb {
    async fn apply_policy(
        &self,
        document: String,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<u64, CallError> {
        let failed = |error: &dyn std::fmt::Display| {
            eprintln!("{error}");
            CallError::new(ErrorKind::Failed, error.to_string())
        };
        let identity = DeviceIdentity::of_bus(bus).await.map_err(|e| failed(&e))?;
        let taken = self.0.lock().unwrap().last().cloned();
        let read = identity.judge(document.as_bytes(), taken.as_ref()).map_err(|e| failed(&e))?;
        let version = read.policy.version;
        self.0.lock().unwrap().push(read);
        Ok(version)
    }
}

impl Usb {
    async fn serve(&self, device: &Device) -> Connection {
        let builder = Builder::address(device.bus.address.as_str());
        let bus = builder.build().await.unwrap();
        bus.object_server().at("/org/holdfast/Usb1", self.clone()).await.unwrap();
        bus.request_name("org.holdfast.Usb1").await.unwrap();
        bus
    }

    /// Waits until so many policies were taken; their rules.
    async fn rules(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let taken = self.0.lock().unwrap().clone();
            if taken.len() >= count {
                return taken.into_iter().map(|read| read.policy.rules.unwrap()).collect();
            }
            assert!(Instant::now() < deadline, "{} policies were taken", taken.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_waits_for_the_usb_daemon_and_comes_again_after_a_restart() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("SN-0070", &site);
    let daemon = device.start();
    let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
    cloud.operate(&["device", "register", "SN-0070", "--ek-sha256", &ek]).await;
    let rules = device.path("rules.conf");
    std::fs::write(&rules, "allow 1d6b:*\n").unwrap();
    let set = ["usb", "policy", "set", "--device", "SN-0070", "--rules", rules.to_str().unwrap()];
    cloud.operate(&set).await;
    daemon.wait_for("active");
    tokio::time::sleep(Duration::from_secs(1)).await;

    let usb = Usb::default();
    let _bus = usb.serve(&device).await;
    assert_eq!(usb.rules(1).await, ["allow 1d6b:*\n"]);
    daemon.stop();

    // The daemon forgot what it handed over; the same policy again is no other one.
    let daemon = device.start();
    daemon.wait_for("active");
    assert_eq!(usb.rules(2).await.len(), 2);
    daemon.stop();
    std::fs::write(&rules, "block\n").unwrap();
    cloud.operate(&set).await;
    let daemon = device.start();
    daemon.wait_for("active");
    assert_eq!(usb.rules(3).await.last().unwrap(), "block\n");
    daemon.stop();
}
