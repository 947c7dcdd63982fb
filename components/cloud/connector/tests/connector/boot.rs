//! Boot reports: what devices say, and what operators see of it.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::Fixture;
use crate::support::device::{Device, Tpm as _};
use crate::support::http::{Answer, Connection, Dial};
use crate::support::software::SoftwareTpm;

const EDGE_ID: &str = "SN-0001";
const PATH: &str = "/api/v1/device/boot";

async fn connected() -> (Fixture, Connection) {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
    let chain = device.enrol(&fixture.server).await;
    let dial = Dial::device(&fixture.server).with_identity(chain, device.tpm.private_key());
    let connection = dial.connect().await.unwrap();
    (fixture, connection)
}

fn report(boot: u8) -> Value {
    json!({
        "boot_id": format!("{boot:032x}"),
        "release": "0.1.0",
        "kernel": "6.12.48",
        "firmware": { "vendor": "EDK II", "version": "2025.02", "date": "02/02/2025" },
        "boot_loader": "systemd-boot 257",
        "tpm": { "manufacturer": "IBM", "vendor": "SW TPM", "firmware": "8217.4131" },
    })
}

async fn put(connection: &mut Connection, report: &Value) -> Answer {
    connection.send(Method::PUT, PATH, report.to_string()).await.unwrap()
}

async fn records(fixture: &Fixture) -> usize {
    fixture.audit().await.iter().filter(|(action, ..)| action == "device.boot").count()
}

async fn changes(fixture: &Fixture) -> Vec<String> {
    let shown = fixture.device(EDGE_ID).await;
    let events = shown["events"].as_array().unwrap().iter();
    events
        .filter(|event| event["kind"] == json!("firmware-changed"))
        .map(|event| format!("{} {}", event["severity"], event["detail"]))
        .collect()
}

#[tokio::test]
async fn the_last_boot_is_shown_and_each_boot_is_recorded_once() {
    let (fixture, mut connection) = connected().await;
    assert_eq!(fixture.device(EDGE_ID).await["boot"], Value::Null);
    for (boot, records_after) in [(1, 1), (1, 1), (2, 2), (2, 2), (3, 3)] {
        fixture.clock.advance(60);
        let answer = put(&mut connection, &report(boot)).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0));
        assert_eq!(records(&fixture).await, records_after);
        let mut shown = fixture.device(EDGE_ID).await["boot"].clone();
        let received = shown.as_object_mut().unwrap().remove("received_at").unwrap();
        assert!(received.is_string());
        assert_eq!(shown, report(boot));
    }
    assert_eq!(changes(&fixture).await, Vec::<String>::new());

    let before = fixture.device(EDGE_ID).await["boot"]["received_at"].clone();
    let fixture = fixture.restart().await;
    assert_eq!(fixture.device(EDGE_ID).await["boot"]["received_at"], before);
}

#[tokio::test]
async fn other_firmware_than_before_is_an_event() {
    let (fixture, mut connection) = connected().await;
    let mut told = report(1);
    for (pointer, value, expected) in [
        ("/boot_id", json!("a".repeat(32)), None),
        ("/kernel", json!("6.12.49"), None),
        ("/firmware/version", json!("2025.05"), Some("firmware version: \\\"2025.02\\\" -> ")),
        ("/tpm/firmware", json!("1.2"), Some("TPM firmware: \\\"8217.4131\\\" -> \\\"1.2\\\"")),
        ("/boot_loader", Value::Null, None),
        ("/firmware", json!({}), Some("firmware version: \\\"2025.05\\\" -> unknown")),
    ] {
        assert_eq!(put(&mut connection, &told).await.status, StatusCode::NO_CONTENT);
        let before = changes(&fixture).await;
        *told.pointer_mut(pointer).unwrap() = value;
        assert_eq!(put(&mut connection, &told).await.status, StatusCode::NO_CONTENT);
        let after = changes(&fixture).await;
        match expected {
            None => assert_eq!(after, before, "{pointer}"),
            Some(expected) => {
                assert_eq!(after.len(), before.len() + 1, "{pointer}");
                assert!(after[0].starts_with("\"warning\""), "{after:?}");
                assert!(after[0].contains(expected), "{after:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_bad_report_is_refused_and_nothing_of_it_is_stored() {
    let (fixture, mut connection) = connected().await;
    put(&mut connection, &report(1)).await;
    let before = fixture.device(EDGE_ID).await;
    let with = |pointer: &str, value: Value| {
        let mut bad = report(2);
        *bad.pointer_mut(pointer).unwrap() = value;
        bad.to_string()
    };
    let mut more = report(2);
    more["colour"] = json!("red");
    for (body, part) in [
        (String::new(), "EOF"),
        ("{}".to_owned(), "missing field"),
        (json!(["0".repeat(32), "", "", {}, null, {}]).to_string(), "not an object"),
        (more.to_string(), "colour"),
        (with("/boot_id", json!("B".repeat(32))), "not a boot id"),
        (with("/kernel", json!("k".repeat(129))), "printable"),
        (with("/tpm/vendor", json!("\u{1b}[2J")), "printable"),
    ] {
        let answer = connection.send(Method::PUT, PATH, body.clone()).await.unwrap();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        let detail = answer.json()["error"]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(part), "{body}: {detail}");
    }
    let large = format!("{}{}", report(2), " ".repeat(8 * 1024));
    let answer = connection.send(Method::PUT, PATH, large).await.unwrap();
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(fixture.device(EDGE_ID).await, before);
    assert_eq!(records(&fixture).await, 1);
}

#[tokio::test]
async fn a_device_in_a_loop_does_not_fill_the_audit() {
    let (fixture, mut connection) = connected().await;
    let mut answers = Vec::new();
    for boot in 0..30 {
        answers.push(put(&mut connection, &report(boot)).await);
    }
    let refused = answers.iter().find(|answer| answer.status != StatusCode::NO_CONTENT).unwrap();
    assert_eq!(refused.code(), "rate-limited");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(records(&fixture).await, 20);
    fixture.clock.advance(60);
    assert_eq!(put(&mut connection, &report(99)).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_device_that_is_shut_out_reports_nothing_and_a_replaced_board_begins_anew() {
    let (fixture, mut connection) = connected().await;
    put(&mut connection, &report(1)).await;
    fixture.change(EDGE_ID, "suspend").await.unwrap();
    let answer = put(&mut connection, &report(2)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "suspended".to_owned()));
    assert_eq!(fixture.device(EDGE_ID).await["boot"]["boot_id"], report(1)["boot_id"]);

    fixture.change(EDGE_ID, "resume").await.unwrap();
    let path = format!("/api/v1/devices/{EDGE_ID}/rebind");
    let body = json!({ "ek_sha256": "77".repeat(32) });
    let _: Value = fixture.admin.post(&path, &body).await.unwrap();
    assert_eq!(fixture.device(EDGE_ID).await["boot"], Value::Null);
}
