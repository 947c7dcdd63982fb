//! Recovery keys: what devices hand over, and what operators get.

use holdfast_recovery::{KeySet, Occasion, Operator, RecoveryKey, Statement, WrappedKey};
use http::{Method, StatusCode};
use rand_core::OsRng;
use serde_json::{Value, json};

use crate::support::device::{Device, Tpm as _};
use crate::support::http::{Answer, Connection, Dial};
use crate::support::software::SoftwareTpm;
use crate::support::{Fixture, client};

const EDGE_ID: &str = "SN-0001";
const PATH: &str = "/api/v1/device/recovery-key";
const UUID: &str = "6b1e2a34-1f7c-4f2a-9a55-0d7c3a2b1c0d";

/// A device that is connected, and the operator to whom it wraps.
struct Bench {
    fixture: Fixture,
    connection: Connection,
    operator: Operator,
}

fn key(number: u8) -> RecoveryKey {
    RecoveryKey::from_bytes(&[number; 32])
}

impl Bench {
    async fn new() -> Self {
        let fixture = Fixture::start().await;
        fixture.publish_release().await;
        let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
        fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
        let chain = device.enrol(&fixture.server).await;
        let dial = Dial::device(&fixture.server).with_identity(chain, device.tpm.private_key());
        let connection = dial.connect().await.unwrap();
        let operator = Operator::generate(&mut OsRng).unwrap();
        Self { fixture, connection, operator }
    }

    fn wrapped(&self, number: u8) -> WrappedKey {
        let statement = Statement {
            edge_id: EDGE_ID.into(),
            luks_uuid: UUID.into(),
            keyslot: u32::from(number),
            created: time::OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap(),
            occasion: Occasion::First,
            key: key(number),
        };
        WrappedKey::seal(&statement, self.operator.recipient()).unwrap()
    }

    async fn put(&mut self, keys: &[&WrappedKey]) -> Answer {
        let set = KeySet::new(keys.iter().map(|&key| key.clone()).collect());
        self.put_bytes(serde_json::to_vec(&set).unwrap()).await
    }

    async fn put_bytes(&mut self, body: Vec<u8>) -> Answer {
        self.connection.send(Method::PUT, PATH, body).await.unwrap()
    }

    async fn shown(&self) -> Vec<Value> {
        let path = format!("/api/v1/devices/{EDGE_ID}/recovery-key");
        let shown: Value = self.fixture.admin.get(&path).await.unwrap();
        shown["items"].as_array().unwrap().clone()
    }

    async fn records(&self, action: &str) -> Vec<(String, String, String)> {
        let records = self.fixture.audit().await;
        records.into_iter().filter(|(name, ..)| name == action).collect()
    }
}

#[tokio::test]
async fn what_a_device_hands_over_takes_the_place_of_what_it_had() {
    let mut bench = Bench::new().await;
    let (first, second) = (bench.wrapped(1), bench.wrapped(2));
    for (keys, records) in
        [(vec![&first], 1), (vec![&first], 1), (vec![&first, &second], 2), (vec![&second], 3)]
    {
        let body = serde_json::to_vec(&KeySet::new(keys.iter().map(|&key| key.clone()).collect()));
        let digest = holdfast_attestation::hash::sha256(&[&body.unwrap()]);
        let answer = bench.put(&keys).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json()["sha256"], json!(hex::encode(digest)));
        let slots: Vec<Value> =
            bench.shown().await.iter().map(|key| key["keyslot"].clone()).collect();
        let newest_first: Vec<Value> = keys.iter().rev().map(|key| json!(key.keyslot)).collect();
        assert_eq!(slots, newest_first);
        // The same again is no change.
        assert_eq!(bench.records("recovery.store").await.len(), records);
    }
}

#[tokio::test]
async fn what_is_not_a_key_set_is_refused_recorded_and_changes_nothing() {
    let mut bench = Bench::new().await;
    let good = bench.wrapped(1);
    bench.put(&[&good]).await;
    let other = WrappedKey { recipient_sha256: "00".repeat(32), ..bench.wrapped(2) };
    let set = |keys: Vec<WrappedKey>| serde_json::to_vec(&KeySet::new(keys)).unwrap();
    for (body, part) in [
        (Vec::new(), "EOF"),
        (b"{}".to_vec(), "missing field"),
        (set(vec![]), "0 keys"),
        (set(vec![good.clone(); 3]), "3 keys"),
        (set(vec![other]), "another public key"),
    ] {
        let answer = bench.put_bytes(body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let detail = answer.json()["error"]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(part), "{part}: {detail}");
        assert_eq!(bench.records("recovery.store").await[0].2, "failed");
    }
    let too_large = bench.put_bytes(vec![b' '; 100_000]).await;
    assert_eq!(too_large.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(bench.shown().await.len(), 1);
}

#[tokio::test]
async fn handing_out_a_wrapped_key_needs_an_operator_and_is_recorded() {
    let mut bench = Bench::new().await;
    let path = format!("/api/v1/devices/{EDGE_ID}/recovery-key/export");
    let refused = bench.fixture.admin.post::<Value>(&path, &()).await.unwrap_err().to_string();
    assert!(refused.contains("no recovery key"), "{refused}");
    let wrapped = bench.wrapped(1);
    bench.put(&[&wrapped]).await;
    for (role, may) in [("viewer", false), ("operator", true)] {
        let body = json!({ "name": role, "role": role });
        let made: Value = bench.fixture.admin.post("/api/v1/api-keys", &body).await.unwrap();
        let caller = client(&bench.fixture.server, made["key"].as_str().unwrap());
        let listed: Value = caller.get("/api/v1/recovery-keys").await.unwrap();
        assert_eq!(listed["items"][0]["edge_id"], json!(EDGE_ID));
        assert!(listed["items"][0]["message"].is_null(), "a list hands out no key: {listed}");
        let exported = caller.post::<Value>(&path, &()).await;
        assert_eq!(exported.is_ok(), may, "{role}");
        if let Ok(exported) = exported {
            let message = exported["items"][0]["message"].as_str().unwrap();
            let statement = Statement::open(message, &bench.operator).unwrap();
            assert_eq!((statement.edge_id.as_str(), statement.key), (EDGE_ID, key(1)));
        }
    }
    let outcomes: Vec<(String, String)> = bench
        .records("recovery.export")
        .await
        .into_iter()
        .map(|(_, decision, outcome)| (decision, outcome))
        .collect();
    let expected = [("allowed", "ok"), ("denied", "failed"), ("allowed", "failed")]
        .map(|(decision, outcome)| (decision.to_owned(), outcome.to_owned()));
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn a_device_that_is_shut_out_hands_nothing_over() {
    let mut bench = Bench::new().await;
    bench.fixture.change(EDGE_ID, "suspend").await.unwrap();
    let wrapped = bench.wrapped(1);
    let answer = bench.put(&[&wrapped]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(bench.shown().await.is_empty());
}
