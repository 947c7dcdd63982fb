//! Audit logs of devices: registration, uploads, receipts, and how they are found again.

mod receipts;
mod registration;
mod search;
mod uploads;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::Fixture;
use crate::support::audit_log::Log;
use crate::support::device::{Device, Tpm as _};
use crate::support::http::{Connection, Dial};
use crate::support::software::SoftwareTpm;

const EDGE_ID: &str = "SN-0001";

struct Bench {
    fixture: Fixture,
    device: Device<SoftwareTpm>,
    connection: Connection,
}

async fn enrol(fixture: &Fixture, edge_id: &str) -> (Device<SoftwareTpm>, Connection) {
    let device = Device::new(edge_id, SoftwareTpm::new(&fixture.site));
    fixture.register(edge_id, device.tpm.ek_sha256()).await;
    let connection = connect(fixture, &device).await;
    (device, connection)
}

async fn connect(fixture: &Fixture, device: &Device<SoftwareTpm>) -> Connection {
    let chain = device.enrol(&fixture.server).await;
    let dial = Dial::device(&fixture.server).with_identity(chain, device.tpm.private_key());
    dial.connect().await.unwrap()
}

impl Bench {
    async fn start() -> Self {
        let fixture = Fixture::start().await;
        fixture.publish_release().await;
        let (device, connection) = enrol(&fixture, EDGE_ID).await;
        Self { fixture, device, connection }
    }

    /// With a log that is registered.
    async fn with_log() -> (Self, Log) {
        let mut bench = Self::start().await;
        let log = Log::new(&bench.device.tpm);
        let answer = log.register(&mut bench.connection, &bench.device.tpm).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        (bench, log)
    }

    /// Everything that is stored of logs: files, and what the management API tells.
    fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut folders = vec![self.fixture.data().join("audit")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    all.insert(path.display().to_string(), std::fs::read(&path).unwrap());
                }
            }
        }
        all
    }

    async fn head(&mut self, log: &Log) -> Value {
        let mut answer = self.connection.get(&log.path()).await.unwrap().json();
        answer.as_object_mut().unwrap().remove("receipt").unwrap();
        answer
    }

    /// Kinds of the open alerts.
    async fn alerts(&self) -> Vec<String> {
        let alerts: Value = self.fixture.admin.get("/api/v1/alerts").await.unwrap();
        let items = alerts["items"].as_array().unwrap().iter();
        items.map(|alert| alert["event"]["kind"].as_str().unwrap().to_owned()).collect()
    }
}

/// What the server must tell of a log of which so many records are stored.
fn expected(log: &Log) -> Value {
    let checkpoint = log.appender.checkpoint(None);
    json!({
        "log": log.id,
        "size": checkpoint.size,
        "head": checkpoint.head.to_string(),
        "root": checkpoint.root.to_string(),
    })
}
