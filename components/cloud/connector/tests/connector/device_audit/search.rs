//! Records found again, and logs handed out whole.

use std::process::ExitCode;

use clap::Parser as _;
use holdfast_audit_log::checkpoint::AuditKey;
use holdfast_audit_log::frame::{Class, Kind};
use holdfast_audit_log::verify::Verifier;
use holdfast_cloud::cli::{Arguments, run};
use serde_json::{Value, json};

use super::{Bench, EDGE_ID, enrol, expected};
use crate::support::Fixture;
use crate::support::audit_log::Log;

async fn search(fixture: &Fixture, query: &str) -> Value {
    fixture.admin.get(&format!("/api/v1/device-audit?{query}")).await.unwrap()
}

/// Every page of a search, as (device, record) pairs.
async fn all(fixture: &Fixture, query: &str) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = search(fixture, &format!("{query}{cursor}")).await;
        assert_eq!(page["damaged"], json!([]));
        found.extend(page["items"].as_array().unwrap().iter().map(|item| {
            (item["device_id"].as_str().unwrap().to_owned(), item["sequence"].as_u64().unwrap())
        }));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn by_device_user_class_kind_time_and_action() {
    let (mut bench, mut log) = Bench::with_log().await;
    log.boot(1);
    for number in 0..30 {
        let (user, action) =
            if number % 3 == 0 { (1000, "identity.sign") } else { (1001, "usb.rule.add") };
        log.operation(user, action, "x");
    }
    log.append(Class::Usb, Kind::Loss, br#"{"cause":"spool-full","count":2}"#);
    log.append(Class::Kernel, Kind::KernelEvent, b"\x00opaque");
    let total = log.frames.len();
    for first in (0..total).step_by(7) {
        log.put(&mut bench.connection, first..(first + 7).min(total)).await;
    }
    let (other, mut connection) = enrol(&bench.fixture, "SN-0002").await;
    let mut second = Log::new(&other.tpm);
    second.register(&mut connection, &other.tpm).await;
    second.operation(1000, "identity.sign", "of another device");
    second.put(&mut connection, 0..1).await;

    let id = bench.fixture.device(EDGE_ID).await["id"].as_str().unwrap().to_owned();
    let fixture = &bench.fixture;
    let mine = format!("device_id={id}");
    let descending = |records: Vec<usize>| -> Vec<(String, u64)> {
        records.into_iter().rev().map(|number| (id.clone(), number as u64)).collect()
    };
    let by_1000: Vec<usize> = (0..30).filter(|n| n % 3 == 0).map(|n| n + 2).collect();
    // Record n was made n seconds after this.
    let at = |second: i64| {
        let at = time::OffsetDateTime::from_unix_timestamp(1_800_000_000 + second).unwrap();
        at.format(&time::format_description::well_known::Rfc3339).unwrap()
    };
    for (query, records) in [
        (String::new(), (0..total).collect()),
        ("&user=1000".to_owned(), by_1000.clone()),
        ("&user=0".to_owned(), (2..32).collect()),
        ("&user=7".to_owned(), vec![]),
        ("&class=usb".to_owned(), vec![32]),
        ("&class=kernel".to_owned(), vec![33]),
        ("&kind=boot".to_owned(), vec![0]),
        ("&kind=checkpoint".to_owned(), vec![1]),
        ("&kind=loss&class=operation".to_owned(), vec![]),
        (format!("&from={}&to={}", at(10), at(12)), vec![10, 11, 12]),
        (format!("&from={}", at(32)), vec![32, 33]),
        (format!("&to={}", at(1)), vec![0, 1]),
        ("&action=identity.sign".to_owned(), by_1000.clone()),
        ("&action=.sign".to_owned(), by_1000.clone()),
        ("&action=nothing".to_owned(), vec![]),
        ("&user=1000&action=usb".to_owned(), vec![]),
    ] {
        for limit in [1, 3, 1000] {
            let query = format!("{mine}{query}&limit={limit}");
            assert_eq!(all(fixture, &query).await, descending(records.clone()), "{query}");
        }
    }
    let everywhere = all(fixture, "user=1000").await;
    assert_eq!(everywhere.len(), by_1000.len() + 1);
    assert_ne!(everywhere[0].0, id);

    let page = search(fixture, &format!("{mine}&limit=1&user=1000")).await;
    let record = &page["items"][0];
    assert_eq!(record["action"], json!("identity.sign"));
    assert_eq!(record["summary"], json!("x: done"));
    assert_eq!(record["users"], json!([0, 1000]));
    assert_eq!(record["payload"]["actor"]["login_uid"], json!(1000));
    assert_eq!(record["hash"].as_str().unwrap().len(), 64);
    let page = search(fixture, &format!("{mine}&kind=kernel-event")).await;
    assert_eq!(
        (&page["items"][0]["users"], &page["items"][0]["payload"]),
        (&Value::Null, &Value::Null)
    );
    for bad in ["class=x", "kind=x", "user=-1", "from=yesterday", "cursor=x", "more=1"] {
        let refused = fixture.admin.get::<Value>(&format!("/api/v1/device-audit?{bad}")).await;
        assert!(refused.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn one_call_reads_a_few_batches_only() {
    let (mut bench, mut log) = Bench::with_log().await;
    log.operations(40);
    for number in 0..40 {
        log.put(&mut bench.connection, number..number + 1).await;
    }
    let page = search(&bench.fixture, "user=1000&action=nothing").await;
    assert_eq!(page["items"], json!([]));
    assert!(page["next"].is_string(), "{page}");
    assert_eq!(all(&bench.fixture, "user=1000").await.len(), 40);
    // A file that is not what was stored is said, and the others are searched.
    let path = bench.stored().into_keys().next().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let page = search(&bench.fixture, "cursor=3").await;
    assert_eq!(page["damaged"], json!([format!("{}/{:020}.seg", log.id, 0)]));
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
}

/// Runs `holdfast-cloud device-audit …` on the folder of the running server.
async fn device_audit(fixture: &Fixture, arguments: &[&str]) -> bool {
    let data = fixture.data().to_str().unwrap().to_owned();
    let program = ["holdfast-cloud", "--data", &data, "device-audit"];
    let arguments = Arguments::try_parse_from(program.iter().chain(arguments)).unwrap();
    format!("{:?}", run(arguments).await) == format!("{:?}", ExitCode::SUCCESS)
}

#[tokio::test]
async fn a_log_is_shown_and_handed_out_whole() {
    let (mut bench, mut log) = Bench::with_log().await;
    log.boot(3);
    log.operations(300);
    log.checkpoint(None);
    let all = log.frames.len();
    for first in (0..all).step_by(3) {
        log.put(&mut bench.connection, first..(first + 3).min(all)).await;
    }
    let path = format!("/api/v1/devices/{EDGE_ID}/audit-logs");
    let logs: Value = bench.fixture.admin.get(&path).await.unwrap();
    let shown = &logs["items"][0];
    let head = expected(&log);
    for field in ["log", "size", "head", "root"] {
        assert_eq!(shown[field], head[field]);
    }
    assert_eq!((&shown["state"], &shown["signed_size"]), (&json!("open"), &json!(all - 1)));
    assert_eq!(shown["boot"], json!({ "reset_count": 3, "nv_counter": 3 }));
    assert!(shown["uploaded_at"].is_string());

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("log");
    let arguments = ["export", EDGE_ID, "--out", out.to_str().unwrap()];
    assert!(device_audit(&bench.fixture, &arguments).await);
    assert!(!device_audit(&bench.fixture, &arguments).await, "it is there already");
    let key = AuditKey::from_pem(&std::fs::read_to_string(out.join("key.pem")).unwrap()).unwrap();
    let mut verifier = Verifier::new(key, None);
    let mut names: Vec<_> = std::fs::read_dir(out.join("segments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert_eq!(names.len(), all.div_ceil(3));
    for name in &names {
        verifier.segment(name.to_str().unwrap(), &std::fs::read(name).unwrap());
    }
    let report = verifier.finish(&[]).report;
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!(report.head, Some(log.appender.head()));
    let receipt = std::fs::read_to_string(out.join("receipt.jws")).unwrap();
    assert_eq!(receipt.split('.').count(), 3);
    let mut left: Vec<_> =
        std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["key.pem", "receipt.jws", "segments"]);

    assert!(device_audit(&bench.fixture, &["status", EDGE_ID]).await);
    let search =
        ["search", "--device", EDGE_ID, "--user", "1000", "--from", "2026-01-01T00:00:00Z"];
    assert!(device_audit(&bench.fixture, &search).await);
    assert!(!device_audit(&bench.fixture, &["search", "--action", "a b"]).await);
    assert!(
        !device_audit(&bench.fixture, &["export", EDGE_ID, "--log", &"0".repeat(32), "--out", "x"])
            .await
    );
    let foreign = format!("{path}/{}/export", "0".repeat(32));
    assert!(bench.fixture.admin.get::<Value>(&foreign).await.is_err());
}
