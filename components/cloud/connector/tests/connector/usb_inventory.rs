//! What a device's audit log tells of its USB ports.

use holdfast_audit_log::frame::{Class, Kind};
use holdfast_audit_log::{Action, Actor, AuditRecord, Source, Text};
use serde_json::{Value, json};

use crate::support::Fixture;
use crate::support::audit_log::Log;
use crate::support::device::{Device, Tpm as _};
use crate::support::http::{Connection, Dial};
use crate::support::software::SoftwareTpm;

const EDGE_ID: &str = "SN-0001";
const STICK: &str = "device id 0781:5583 serial \"4C53\" name \"Ultra Fit\" hash \"q83v\" \
    parent-hash \"pp\" with-interface 08:06:50 with-connect-type \"hotplug\"";

struct Bench {
    fixture: Fixture,
    device: Device<SoftwareTpm>,
    connection: Connection,
    log: Log,
    sent: usize,
}

impl Bench {
    async fn new() -> Self {
        let fixture = Fixture::start().await;
        fixture.publish_release().await;
        let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
        fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
        let chain = device.enrol(&fixture.server).await;
        let dial = Dial::device(&fixture.server).with_identity(chain, device.tpm.private_key());
        let mut connection = dial.connect().await.unwrap();
        let log = Log::new(&device.tpm);
        assert_eq!(log.register(&mut connection, &device.tpm).await.status, 200);
        Self { fixture, device, connection, log, sent: 0 }
    }

    fn tell(&mut self, action: &str, target: &str) {
        let record = AuditRecord::new(
            time::OffsetDateTime::UNIX_EPOCH,
            Source::device("usb").unwrap(),
            Actor::system(),
            Action::new(action).unwrap(),
            Text::lossy(target),
        );
        let payload = record.to_json().unwrap();
        self.log.append(Class::Usb, Kind::Operation, payload.as_bytes());
    }

    /// Sends what was told since; the inventory as (device, decision, id).
    async fn send(&mut self) -> Vec<(String, String, String)> {
        let range = self.sent..self.log.frames.len();
        self.sent = range.end;
        let answer = self.log.put(&mut self.connection, range).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let told = self.told().await;
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        told.iter().map(|i| (text(i, "device"), text(i, "target"), text(i, "usb_id"))).collect()
    }

    async fn told(&self) -> Vec<Value> {
        let path = format!("/api/v1/devices/{EDGE_ID}/usb");
        let told: Value = self.fixture.admin.get(&path).await.unwrap();
        told["items"].as_array().unwrap().clone()
    }
}

fn row(device: &str, target: &str, id: &str) -> (String, String, String) {
    (device.to_owned(), target.to_owned(), id.to_owned())
}

#[tokio::test]
async fn the_inventory_follows_the_log() {
    let mut bench = Bench::new().await;
    bench.log.boot(1);
    assert!(bench.send().await.is_empty());
    let port = "pci0000:00/0000:00:14.0/hs/2";
    bench.tell("usb.allow", "by rule 1: usb1: device id 1d6b:0002");
    bench.tell("usb.block", &format!("by implicit: 1-2 ({port}): {STICK}"));
    bench.tell("usb.allow", &format!("by operator; only observed: 1-2 ({port}): {STICK}"));
    let expected = [row("1-2", "allow", "0781:5583"), row("usb1", "allow", "1d6b:0002")];
    assert_eq!(bench.send().await, expected);
    let told = bench.told().await[0].clone();
    let mut expected = json!({
        "device": "1-2", "port": port, "target": "allow", "reason": "operator", "observed": true,
        "usb_id": "0781:5583", "name": "Ultra Fit", "serial": "4C53", "hash": "q83v",
        "interfaces": ["08:06:50"],
    });
    expected["decided_at"] = told["decided_at"].clone();
    assert_eq!(told, expected);
    assert!(told["decided_at"].as_str().unwrap().starts_with("2027-01-15T"), "{told}");

    bench.tell("usb.reject", "by rule 2: 1-2: no device at all");
    bench.tell("usb.remove", "usb1: device id 1d6b:0002");
    assert_eq!(bench.send().await, [row("1-2", "allow", "0781:5583")]);
    // What was taken out while nobody looked is not told again at the next start.
    bench.log.boot(2);
    bench.tell("usb.rules-load", "/var/lib/holdfast/usb/rules.conf");
    assert_eq!(bench.send().await.len(), 1);
    bench.tell("usb.rules-load", "/var/lib/holdfast/usb/rules.conf (device)");
    bench.tell("usb.reject", "by rule 2: 2-1.3 (a/ss/1.3): device id 046d:c52b");
    assert_eq!(bench.send().await, [row("2-1.3", "reject", "046d:c52b")]);

    let Bench { fixture, .. } = bench;
    let fixture = fixture.restart().await;
    let told: Value = fixture.admin.get(&format!("/api/v1/devices/{EDGE_ID}/usb")).await.unwrap();
    assert_eq!(told["items"][0]["device"], json!("2-1.3"));
}

#[tokio::test]
async fn a_device_that_tells_of_too_many_is_cut_off() {
    let mut bench = Bench::new().await;
    for bus in 0..1100 {
        bench.tell("usb.block", &format!("by implicit: {bus}-1: device id 0781:5583"));
    }
    let told = bench.send().await;
    assert_eq!(told.len(), 1000);
    assert!(told.contains(&row("1099-1", "block", "0781:5583")), "the newest stay");
    assert!(!told.contains(&row("99-1", "block", "0781:5583")));
}

#[tokio::test]
async fn other_hardware_begins_anew() {
    let mut bench = Bench::new().await;
    bench.tell("usb.block", "by implicit: 1-1: device id 0781:5583");
    assert_eq!(bench.send().await.len(), 1);
    let other = SoftwareTpm::new(&bench.fixture.site);
    assert_ne!(other.ek_sha256(), bench.device.tpm.ek_sha256());
    let path = format!("/api/v1/devices/{EDGE_ID}/rebind");
    let body = json!({ "ek_sha256": other.ek_sha256() });
    let _: Value = bench.fixture.admin.post(&path, &body).await.unwrap();
    assert!(bench.told().await.is_empty());
}
