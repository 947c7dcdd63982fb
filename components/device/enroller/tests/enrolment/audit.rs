//! The audit daemon beside the enroller: its log reaches the connector, whatever happens to the two.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use holdfast_audit_log::{Action, Actor, AuditRecord, Source, Text};
use holdfast_ipc::audit1::Audit1Proxy;
use rand_core::RngCore as _;
use serde_json::Value;
use zbus::connection::Builder;

use crate::cloud::Cloud;
use crate::device::Device;

/// Beyond the end of every log: asking for it gives nothing, and is recorded.
const MARK: u64 = 1 << 62;
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
        write("audit.toml", "spool_mib = 8\nupload_delay_s = 1\n");
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

    /// Makes a record for each of these numbers: every call for a part of the log is one.
    async fn make_records(&self, marks: std::ops::Range<u64>) {
        self.until("there", |_| true).await;
        let proxy = self.proxy().await;
        for mark in marks {
            proxy.export(MARK + mark).await.unwrap();
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

/// Runs `holdfast audit` on the device, as its administrator; the exit code and what it printed.
fn holdfast(device: &Device, arguments: &[&str]) -> (i32, String) {
    let program = program().with_file_name("holdfast");
    let output = Command::new(&program)
        .arg("audit")
        .args(arguments)
        .env("DBUS_SYSTEM_BUS_ADDRESS", &device.bus.address)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text + &String::from_utf8_lossy(&output.stderr))
}

/// The alerts about the device's logs, by code.
async fn alerts(cloud: &Cloud) -> Vec<String> {
    let events = cloud.get("/api/v1/events?limit=1000").await;
    let items = events["items"].as_array().unwrap();
    let kinds = items.iter().map(|event| event["kind"].as_str().unwrap().to_owned());
    kinds.filter(|kind| kind.starts_with("audit-")).collect()
}

/// Numbers of the marked calls among records, sorted.
fn marks(records: &[Value], marks: std::ops::Range<u64>) -> Vec<u64> {
    let digests: Vec<String> = marks.clone().map(digest_of_mark).collect();
    let mut found = Vec::new();
    for record in records.iter().filter(|record| record["action"] == "audit.export") {
        let digest = record["payload"]["arguments_sha256"].as_str().unwrap();
        let place = digests.iter().position(|known| known == digest);
        found.extend(place.map(|place| marks.start + place as u64));
    }
    found.sort_unstable();
    found
}

/// The digest in the record of a call with this argument.
fn digest_of_mark(mark: u64) -> String {
    let record = AuditRecord::new(
        time::OffsetDateTime::UNIX_EPOCH,
        Source::cloud(),
        Actor::system(),
        Action::new("audit.export").unwrap(),
        Text::default(),
    );
    let json = record.with_arguments(&[&(MARK + mark).to_be_bytes()]).to_json().unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    json["arguments_sha256"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_before_enrolment_reaches_the_connector_signed() {
    let cloud = Cloud::start().await;
    let device = Device::new("EDGE-AUDIT-1", &cloud.make_site().await);
    let audit = AuditDaemon::start(&device);
    audit.until("recorded", |status| status["size"].as_u64() >= Some(1)).await;
    audit.make_records(0..5).await;
    let (enroller, device_id) = device.enrolled(&cloud, "EDGE-AUDIT-1").await;
    audit.until("signed", |status| !status["signed"].is_null()).await;
    let status = audit.all_uploaded().await;
    assert_eq!(status["lost"], serde_json::json!({}));
    let records = records(&cloud, &device_id).await;
    assert_eq!(marks(&records, 0..5), [0, 1, 2, 3, 4]);
    let first = records.last().unwrap();
    assert_eq!((&first["kind"], &first["sequence"]), (&"boot".into(), &0.into()));
    let checkpoint = records.iter().find(|record| record["kind"] == "checkpoint").unwrap();
    assert!(checkpoint["payload"].to_string().contains("nv-counter 7"), "{checkpoint}");
    assert_eq!(alerts(&cloud).await, [""; 0]);

    // The same, as an operator at the device sees it.
    let (code, text) = holdfast(&device, &["status"]);
    assert!(code == 0 && text.contains("the cloud has signed for all"), "{text}");
    let (code, text) = holdfast(&device, &["tail", "--lines", "3"]);
    assert!(code == 0 && text.lines().count() == 3, "{text}");
    let (code, text) = holdfast(&device, &["verify"]);
    assert!(code == 0 && text.contains("nothing was changed") && text.contains("by 1"), "{text}");
    let (code, text) = holdfast(&device, &["export"]);
    assert!(code == 0 && text.contains("op=audit.export"), "{text}");
    let folder = device.path("exported");
    let (code, text) = holdfast(&device, &["export", "--segments", folder.to_str().unwrap()]);
    assert!(code == 0 && text.contains("1 segments"), "{text}");
    assert!(folder.join("00000000000000000000.log").exists());

    // What cannot be read is told, and not left out in silence.
    let segment = device.path("audit").join("00000000000000000000.log");
    let middle = fs::metadata(&segment).unwrap().len() / 2;
    let file = fs::File::options().read(true).write(true).open(&segment).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
    for command in ["export", "tail"] {
        let (code, text) = holdfast(&device, &[command]);
        assert!(code == 1 && text.contains("is left out"), "{command} {code}: {text}");
    }
    enroller.stop();
    audit.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_is_away_and_a_certificate_that_is_renewed_lose_and_double_nothing() {
    let mut cloud = Cloud::start().await;
    let device = Device::new("EDGE-AUDIT-2", &cloud.make_site().await);
    let audit = AuditDaemon::start(&device);
    let (enroller, device_id) = device.enrolled(&cloud, "EDGE-AUDIT-2").await;
    audit.make_records(0..20).await;
    audit.all_uploaded().await;
    cloud.stop().await;
    audit.make_records(20..60).await;
    audit.until("waiting", |status| !status["upload"]["error"].is_null()).await;
    cloud.resume().await;
    audit.make_records(60..61).await;
    audit.all_uploaded().await;
    device.identity().await.renew().await.unwrap();
    audit.make_records(61..80).await;
    audit.all_uploaded().await;
    let records = records(&cloud, &device_id).await;
    assert_eq!(marks(&records, 0..80), (0..80).collect::<Vec<_>>());
    assert_eq!(alerts(&cloud).await, [""; 0]);
    enroller.stop();
    audit.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_put_back_is_an_alarm_and_loses_and_doubles_nothing() {
    let cloud = Cloud::start().await;
    let device = Device::new("EDGE-AUDIT-3", &cloud.make_site().await);
    let audit = AuditDaemon::start(&device);
    let (enroller, device_id) = device.enrolled(&cloud, "EDGE-AUDIT-3").await;
    audit.make_records(0..30).await;
    let log = audit.all_uploaded().await["log"].clone();
    audit.stop();
    let copy = device.path("copy");
    let copied = Command::new("cp").arg("-a").args([&device.path("audit"), &copy]).status();
    assert!(copied.unwrap().success());

    let audit = AuditDaemon::start(&device);
    audit.make_records(30..50).await;
    audit.all_uploaded().await;
    audit.stop();
    fs::remove_dir_all(device.path("audit")).unwrap();
    fs::rename(&copy, device.path("audit")).unwrap();

    // It goes on for a while before it reaches the connector again.
    enroller.stop();
    let audit = AuditDaemon::start(&device);
    audit.make_records(50..80).await;
    let enroller = device.start();
    let status = audit.until("in another log", |status| {
        status["log"] != log && status["upload"]["accepted"] == status["size"]
    });
    let status = status.await;
    assert_eq!(status["previous"]["log"], log);
    let records = records(&cloud, &device_id).await;
    assert_eq!(marks(&records, 0..80), (0..80).collect::<Vec<_>>());
    assert_eq!(alerts(&cloud).await, ["audit-fork"]);
    enroller.stop();
    audit.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_kills_lose_no_record_that_was_answered_and_double_none() {
    const KILLS: u64 = 200;
    let cloud = Cloud::start().await;
    let device = Device::new("EDGE-AUDIT-4", &cloud.make_site().await);
    let mut enroller = None;
    let (mut next, mut answered) = (0, Vec::new());
    for kill in 0..KILLS {
        // The last ones while it uploads.
        if kill == KILLS - 25 {
            enroller = Some(device.enrolled(&cloud, "EDGE-AUDIT-4").await);
        }
        let mut audit = AuditDaemon::start(&device);
        let load = tokio::spawn(mark_until_it_is_gone(device.bus.address.clone(), next));
        // Somewhere in its life, its start included.
        let life = u64::from(rand_core::OsRng.next_u32() % 200);
        tokio::time::sleep(Duration::from_millis(life)).await;
        audit.process.kill().unwrap();
        audit.process.wait().unwrap();
        let (tried, kept) = load.await.unwrap();
        next = tried;
        answered.extend(kept);
        assert!(kill < 50 || !answered.is_empty(), "no daemon lived long enough");
    }
    let (enroller, device_id) = enroller.unwrap();
    let audit = AuditDaemon::start(&device);
    audit.make_records(next..next + 1).await;
    answered.push(next);
    let status = audit.all_uploaded().await;
    let found = marks(&records(&cloud, &device_id).await, 0..next + 1);
    let once: BTreeSet<u64> = found.iter().copied().collect();
    assert_eq!(once.len(), found.len(), "a record is there twice");
    let missing: Vec<_> = answered.iter().filter(|mark| !once.contains(mark)).collect();
    assert!(missing.is_empty(), "answered, and not in the log: {missing:?}");
    println!("{KILLS} kills, {} answered of {next} calls, {status}", answered.len());
    // An ordinary death is never taken for a fork.
    assert_eq!(alerts(&cloud).await, [""; 0]);
    enroller.stop();
    audit.stop();
}

/// Makes marked records, one after the other, from `first` on; where it stopped, and which were
/// answered.
async fn mark_until_it_is_gone(bus: String, first: u64) -> (u64, Vec<u64>) {
    let connection = Builder::address(bus.as_str()).build().await.unwrap();
    let proxy = Audit1Proxy::new(&connection).await.unwrap();
    let (mut next, mut answered) = (first, Vec::new());
    let begun = Instant::now();
    loop {
        match proxy.export(MARK + next).await {
            Ok(_) => answered.push(next),
            // Not there yet, or not any more.
            Err(_) if answered.is_empty() && begun.elapsed() < Duration::from_millis(150) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            Err(_) => return (next + 1, answered),
        }
        next += 1;
    }
}
