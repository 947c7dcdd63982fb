//! The audit daemon beside the enroller: its log reaches the connector, whatever happens to the two.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use holdfast_ipc::audit1::Audit1Proxy;
use serde_json::Value;
use zbus::connection::Builder;

use crate::cloud::Cloud;
use crate::device::Device;

const PATIENCE: Duration = Duration::from_secs(60);

/// The running audit daemon; killed when dropped.
struct AuditDaemon {
    process: Child,
    bus: String,
}

/// Built with the workspace; it lies beside the enroller.
fn program() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_holdfast-enroll")).with_file_name("holdfast-audit");
    assert!(path.exists(), "{} is missing: cargo build -p holdfast-audit", path.display());
    path
}

impl AuditDaemon {
    fn start(device: &Device) -> Self {
        let path = |name: &str| device.path(name).display().to_string();
        for folder in ["audit", "audit-run"] {
            fs::create_dir_all(device.path(folder)).unwrap();
        }
        let write = |name: &str, text: &str| fs::write(device.path(name), text).unwrap();
        write("audit.toml", "spool_mib = 8\nupload_delay_s = 0\n");
        write("sources.toml", "unit_proof = \"pid\"\n");
        write("report.json", r#"{"boot_id":"ab","release":"0.1.0","kernel":"6.12"}"#);
        let clock = r#"{"clock_ms":5,"reset_count":1,"restart_count":0,"is_safe":true}"#;
        write("binding.json", &format!(r#"{{"clock":{clock},"nv_counter":7}}"#));
        let process = Command::new(program())
            .args(["--spool", &path("audit"), "--runtime", &path("audit-run")])
            .args(["--config", &path("audit.toml"), "--sources", &path("sources.toml")])
            .args(["--boot-report", &path("report.json"), "--boot-binding", &path("binding.json")])
            .args(["--groups", &path("group"), "--bus", &device.bus.address, "--without-kernel"])
            .env("HOLDFAST_LOG", "warn,holdfast_audit=debug")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, bus: device.bus.address.clone() }
    }

    async fn proxy(&self) -> Audit1Proxy<'static> {
        let connection = Builder::address(self.bus.as_str()).build().await.unwrap();
        Audit1Proxy::new(&connection).await.unwrap()
    }

    async fn status(&self) -> Option<Value> {
        let status = self.proxy().await.status().await.ok()?;
        Some(serde_json::from_str(&status).unwrap())
    }

    /// Waits until the state is as wanted.
    async fn until(&self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = None;
        while Instant::now() < deadline {
            if let Some(status) = self.status().await {
                if is_wanted(&status) {
                    return status;
                }
                seen = Some(status);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not {what}: {seen:#?}");
    }

    /// Makes some records: each refused or done call of this interface is one.
    async fn make_records(&self, count: usize) {
        let proxy = self.proxy().await;
        for _ in 0..count {
            proxy.flush().await.unwrap();
        }
    }

    /// Waits until the connector has signed for everything.
    async fn all_uploaded(&self) -> Value {
        self.until("uploaded", |status| {
            status["upload"]["state"] == "idle" && status["upload"]["accepted"] == status["size"]
        })
        .await
    }

    fn stop(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for AuditDaemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Every record of the device that the connector has, the newest first.
async fn records(cloud: &Cloud, device_id: &str) -> Vec<Value> {
    let mut records = Vec::new();
    let mut path = format!("/api/v1/device-audit?device_id={device_id}&limit=100");
    loop {
        let page = cloud.get(&path).await;
        records.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => {
                path =
                    format!("/api/v1/device-audit?device_id={device_id}&limit=100&cursor={next}");
            }
            None => return records,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_before_enrolment_reaches_the_connector_signed() {
    let cloud = Cloud::start().await;
    let device = Device::new("EDGE-AUDIT-1", &cloud.make_site().await);
    let audit = AuditDaemon::start(&device);
    audit.until("recorded", |status| status["size"].as_u64() >= Some(1)).await;
    audit.make_records(5).await;
    let (enroller, device_id) = device.enrolled(&cloud, "EDGE-AUDIT-1").await;
    let status = audit.all_uploaded().await;
    assert_eq!(status["lost"], serde_json::json!({}));
    println!("{status:#}");
    println!("{:#?}", records(&cloud, &device_id).await);
    enroller.stop();
    audit.stop();
}
