//! What is said of USB ports reaches the device that is meant, signed, and with a version that
//! grows.

use holdfast_cloud::cli::ClientError;
use holdfast_policy_document::{Expectation, Kind, ReadPolicy, verify};
use http::{Method, StatusCode};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::support::device::{Device, Tpm as _};
use crate::support::http::{Answer, Connection, Dial};
use crate::support::software::SoftwareTpm;
use crate::support::{Fixture, client};

const EDGE_ID: &str = "SN-0001";
const POLICY: &str = "/api/v1/device/policy/usb";
const DAY: i64 = 24 * 3600;

struct Bench {
    fixture: Fixture,
    device: Device<SoftwareTpm>,
    chain: Vec<CertificateDer<'static>>,
}

impl Bench {
    /// An enrolled device in group lab.
    async fn new() -> Self {
        let fixture = Fixture::start().await;
        fixture.publish_release().await;
        for group in ["lab", "field"] {
            let body = json!({ "name": group, "quote_policy": "enforce" });
            let _: Value = fixture.admin.post("/api/v1/groups", &body).await.unwrap();
        }
        let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
        fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
        let chain = device.enrol(&fixture.server).await;
        let bench = Self { fixture, device, chain };
        bench.move_to(json!("lab")).await;
        bench
    }

    async fn move_to(&self, group: Value) {
        let path = format!("/api/v1/devices/{EDGE_ID}/move-group");
        let _: Value = self.fixture.admin.post(&path, &json!({ "group": group })).await.unwrap();
    }

    async fn say(&self, whose: &str, what: Value) -> Result<Value, ClientError> {
        self.fixture.admin.post(&format!("/api/v1/{whose}/usb-policy"), &what).await
    }

    async fn said(&self, whose: &str) -> Value {
        self.fixture.admin.get(&format!("/api/v1/{whose}/usb-policy")).await.unwrap()
    }

    async fn connect(&self) -> Connection {
        let dial = Dial::device(&self.fixture.server);
        dial.with_identity(self.chain.clone(), self.device.tpm.private_key())
            .connect()
            .await
            .unwrap()
    }

    async fn ask(&self) -> Answer {
        self.connect().await.get(POLICY).await.unwrap()
    }

    async fn ask_with(&self, known: &str) -> Answer {
        let headers = [("if-none-match", known)];
        self.connect().await.send_with(Method::GET, POLICY, &headers, "").await.unwrap()
    }

    /// The policy that the device is told, as the device judges it.
    async fn told(&self, floor: Option<&ReadPolicy>) -> ReadPolicy {
        let answer = self.ask().await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["content-type"], "application/jose");
        let device = self.fixture.device(EDGE_ID).await;
        let app = self.fixture.server.app();
        let roots = [app.authority().root().to_vec()];
        let expected = Expectation {
            kind: Kind::Usb,
            device_id: device["id"].as_str().unwrap(),
            edge_id: EDGE_ID,
            roots: &roots,
            now: app.now().unix_timestamp().cast_unsigned(),
            floor,
        };
        let read = verify(&answer.body, &expected).unwrap();
        assert_eq!(answer.headers["etag"], format!("\"{}\"", read.policy.version));
        read
    }
}

fn refusal(result: Result<Value, ClientError>) -> (String, String) {
    match result {
        Err(ClientError::Refused { code, detail, .. }) => (code, detail),
        other => panic!("expected a refusal, not {other:?}"),
    }
}

#[tokio::test]
async fn a_device_is_told_what_it_says_and_what_its_group_says() {
    let bench = Bench::new().await;
    assert_eq!(bench.ask().await.status, StatusCode::NO_CONTENT);
    bench.say("groups/lab", json!({ "rules": "allow 1d6b:*\n" })).await.unwrap();
    let first = bench.told(None).await;
    assert_eq!(first.policy.rules.as_deref(), Some("allow 1d6b:*\n"));
    assert_eq!(first.policy.ports, None);

    let device = format!("devices/{EDGE_ID}");
    bench.say(&device, json!({ "rules": "block\n", "ports": "used a/hs/1\n" })).await.unwrap();
    let second = bench.told(Some(&first)).await;
    assert!(second.policy.version > first.policy.version);
    assert_eq!(second.policy.rules.as_deref(), Some("block\n"));
    assert_eq!(second.policy.ports.as_deref(), Some("used a/hs/1\n"));

    bench.say(&device, json!({ "rules": null })).await.unwrap();
    let third = bench.told(Some(&second)).await;
    assert_eq!(third.policy.rules.as_deref(), Some("allow 1d6b:*\n"));
    assert_eq!(third.policy.ports.as_deref(), Some("used a/hs/1\n"));

    let shown = bench.said(&device).await;
    assert_eq!(shown["own"]["version"], json!(2));
    assert_eq!((&shown["own"]["rules"], &shown["rules"]), (&Value::Null, &json!("allow 1d6b:*\n")));
    assert_eq!(shown["told"]["version"], json!(third.policy.version));
}

#[tokio::test]
async fn the_version_grows_whenever_the_content_changes_and_only_then() {
    let bench = Bench::new().await;
    bench.say("groups/lab", json!({ "rules": "allow\n" })).await.unwrap();
    bench.say("groups/field", json!({ "rules": "block\n" })).await.unwrap();
    let lab = bench.told(None).await;
    assert_eq!(bench.told(Some(&lab)).await, lab, "the same payload, signed again");
    bench.fixture.clock.advance(25 * DAY);
    assert_eq!(bench.told(Some(&lab)).await, lab, "by the next signer");
    bench.move_to(json!("field")).await;
    let field = bench.told(Some(&lab)).await;
    assert_eq!(field.policy.rules.as_deref(), Some("block\n"));
    bench.move_to(json!("lab")).await;
    let back = bench.told(Some(&field)).await;
    assert!(back.policy.version > field.policy.version);
    assert_eq!(back.policy.rules, lab.policy.rules);

    // Nothing is said any more: the device keeps what it has, and nothing is signed.
    bench.move_to(Value::Null).await;
    assert_eq!(bench.ask().await.status, StatusCode::NO_CONTENT);
    bench.move_to(json!("lab")).await;
    assert_eq!(bench.told(Some(&back)).await, back);

    let Bench { fixture, device, chain } = bench;
    let bench = Bench { fixture: fixture.restart().await, device, chain };
    assert_eq!(bench.told(Some(&back)).await, back);
}

#[tokio::test]
async fn who_has_the_version_is_not_told_again() {
    let bench = Bench::new().await;
    bench.say("groups/lab", json!({ "ports": "" })).await.unwrap();
    let told = bench.told(None).await;
    let tag = format!("\"{}\"", told.policy.version);
    for known in [tag.clone(), format!("W/{tag}"), format!("\"1\", {tag}")] {
        let answer = bench.ask_with(&known).await;
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(answer.headers["etag"], tag);
        assert!(answer.body.is_empty());
    }
    for known in ["\"1\"", "1", "", told.policy.version.to_string().as_str()] {
        assert_eq!(bench.ask_with(known).await.status, StatusCode::OK, "{known}");
    }
    bench.say("groups/lab", json!({ "ports": "used *\n" })).await.unwrap();
    assert_eq!(bench.ask_with(&tag).await.status, StatusCode::OK);
}

#[tokio::test]
async fn bad_texts_are_refused_with_their_place_and_recorded() {
    let bench = Bench::new().await;
    let long = "#".repeat(512 * 1024);
    for (what, part) in [
        (json!({ "rules": "allow\nallow serail 1\n" }), "rules: line 2, column 7"),
        (json!({ "ports": "used a/hs/1\nopen\n" }), "ports: line 2, column 1"),
        (json!({ "rules": "allow\n", "ports": "used 1-2\n" }), "ports: line 1, column 6"),
        (json!({ "rules": long }), "over the limit"),
        (json!({}), "neither rules nor ports"),
    ] {
        let (code, detail) = refusal(bench.say("groups/lab", what).await);
        assert_eq!(code, "malformed-request", "{detail}");
        assert!(detail.contains(part), "{part}: {detail}");
        let record = bench.fixture.audit().await.remove(0);
        assert_eq!((record.0.as_str(), record.2.as_str()), ("usb-policy.set", "failed"));
    }
    let (code, _) = refusal(bench.say("groups/nowhere", json!({ "rules": "" })).await);
    assert_eq!(code, "not-found");
    let group: Result<Value, _> = bench.fixture.admin.get("/api/v1/groups/lab/usb-policy").await;
    assert_eq!(refusal(group).0, "not-found");
    assert_eq!(bench.ask().await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn only_administrators_say_something() {
    let bench = Bench::new().await;
    let body = json!({ "name": "operators", "role": "operator" });
    let key: Value = bench.fixture.admin.post("/api/v1/api-keys", &body).await.unwrap();
    let operator = client(&bench.fixture.server, key["key"].as_str().unwrap());
    for whose in ["groups/lab", "devices/SN-0001"] {
        let path = format!("/api/v1/{whose}/usb-policy");
        let result: Result<Value, _> = operator.post(&path, &json!({ "rules": "" })).await;
        assert_eq!(refusal(result).0, "role-missing");
    }
    bench.say("groups/lab", json!({ "rules": "" })).await.unwrap();
    let record = bench.fixture.audit().await.remove(0);
    assert_eq!((record.0.as_str(), record.2.as_str()), ("usb-policy.set", "ok"));
    let seen: Value = operator.get("/api/v1/groups/lab/usb-policy").await.unwrap();
    assert_eq!((&seen["rules"], &seen["version"]), (&json!(""), &json!(1)));
}

#[tokio::test]
async fn a_group_goes_with_what_was_said_of_it() {
    let bench = Bench::new().await;
    bench.say("groups/lab", json!({ "rules": "allow\n" })).await.unwrap();
    bench.move_to(Value::Null).await;
    let removed: Value =
        bench.fixture.admin.post("/api/v1/groups/lab/remove", &json!({})).await.unwrap();
    assert_eq!(removed["name"], json!("lab"));
    let body = json!({ "name": "lab", "quote_policy": "enforce" });
    let _: Value = bench.fixture.admin.post("/api/v1/groups", &body).await.unwrap();
    bench.move_to(json!("lab")).await;
    assert_eq!(bench.ask().await.status, StatusCode::NO_CONTENT);
}
