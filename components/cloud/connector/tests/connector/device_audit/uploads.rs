//! Records over mutual TLS: what is stored, what is refused, and that a refusal changes nothing.

use holdfast_audit_log::Origin;
use holdfast_audit_log::checkpoint::AuditKey;
use holdfast_audit_log::verify::Verifier;
use http::{Method, StatusCode};
use p256::pkcs8::EncodePublicKey as _;
use serde_json::{Value, json};

use super::{Bench, connect, expected};
use crate::support::audit_log::{Log, registration, start};
use crate::support::http::{Answer, Dial};

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

/// A log with all that a log has.
fn with_history(log: &mut Log) {
    log.boot(1);
    log.operations(20);
    log.checkpoint(None);
    log.boot(2);
    log.operations(7);
    log.checkpoint(None);
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

#[tokio::test]
async fn a_log_is_stored_in_parts_and_its_folder_is_a_log() {
    let (mut bench, mut log) = Bench::with_log().await;
    with_history(&mut log);
    let all = log.frames.len();
    for (range, is_packed) in [(0..1, false), (1..9, true), (5..14, false), (14..all, true)] {
        let bytes = log.bytes(range.clone());
        let answer = if is_packed {
            let headers = [("content-encoding", "zstd")];
            log.try_put(&mut bench.connection, range.start, &headers, packed(&bytes)).await.unwrap()
        } else {
            log.put_bytes(&mut bench.connection, range.start, bytes).await
        };
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.json()["size"], json!(range.end));
    }
    assert_eq!(bench.head(&log).await, expected(&log));

    let spki = bench.device.tpm.audit_key.verifying_key().to_public_key_der().unwrap();
    let key = AuditKey::from_spki_der(spki.as_bytes()).unwrap();
    let mut verifier = Verifier::new(key, Some(Origin::new(log.origin()).unwrap()));
    let stored = bench.stored();
    let names: Vec<&str> = stored.keys().map(|path| path.rsplit('/').next().unwrap()).collect();
    let name = |first: usize| format!("{first:020}.seg");
    assert_eq!(names, [name(0), name(1), name(9), name(14)]);
    for (path, bytes) in &stored {
        verifier.segment(path, bytes);
    }
    let report = verifier.finish(&[]).report;
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.records, all as u64);

    let audit = bench.fixture.audit().await;
    assert!(!audit.iter().any(|(act, ..)| act.contains("batch") || act.contains("upload")));
    let mut bench = Bench { fixture: bench.fixture.restart().await, ..bench };
    bench.connection = connect(&bench.fixture, &bench.device).await;
    assert_eq!(bench.head(&log).await, expected(&log));
    assert_eq!(bench.stored(), stored);
}

#[tokio::test]
async fn repeats_change_nothing_and_gaps_and_forks_store_nothing() {
    let (mut bench, mut log) = Bench::with_log().await;
    log.boot(1);
    log.operations(20);
    log.put(&mut bench.connection, 0..5).await;
    log.put(&mut bench.connection, 5..12).await;
    let (stored, head) = (bench.stored(), bench.head(&log).await);
    for range in [0..12, 0..5, 3..9, 11..12, 5..12] {
        let answer = log.put(&mut bench.connection, range.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{range:?}");
        assert_eq!(answer.json()["size"], json!(12));
    }
    let gap = log.put(&mut bench.connection, 13..15).await;
    assert_eq!(refusal(&gap), (409, "audit-gap".to_owned()));
    assert_eq!((&gap.json()["size"], &gap.json()["head"]), (&json!(12), &head["head"]));
    assert_eq!(bench.fixture.last_event().await["kind"], json!("audit-gap"));
    assert_eq!(bench.fixture.last_event().await["severity"], json!("warning"));
    assert_eq!((bench.stored(), bench.head(&log).await), (stored.clone(), head.clone()));
    assert_eq!(bench.alerts().await, Vec::<String>::new());

    // A disk that was put back to record 9.
    let mut back = Log::with_id(&bench.device.tpm, &log.id);
    back.boot(1);
    back.operations(7);
    back.operation(1000, "identity.sign", "another history");
    back.operations(9);
    let fork = back.put(&mut bench.connection, 9..15).await;
    assert_eq!(refusal(&fork), (409, "audit-fork".to_owned()));
    assert_eq!((&fork.json()["size"], &fork.json()["head"]), (&json!(12), &head["head"]));
    assert_eq!(bench.alerts().await, ["audit-fork"]);
    let event = bench.fixture.last_event().await;
    let detail = event["detail"].as_str().unwrap();
    assert!(detail.contains(&log.id) && detail.contains("record 9 "), "{detail}");
    assert_eq!(bench.fixture.audit().await[0].0, "audit-log.fork");

    // From now on it is read only, whoever is right.
    for (name, answer) in [
        ("the old history", log.put(&mut bench.connection, 12..14).await),
        ("overlap", log.put(&mut bench.connection, 5..14).await),
        ("the fork again", back.put(&mut bench.connection, 9..15).await),
    ] {
        assert_eq!(refusal(&answer), (409, "audit-fork".to_owned()), "{name}");
    }
    assert_eq!(log.put(&mut bench.connection, 3..12).await.status, StatusCode::OK);
    assert_eq!((bench.stored(), bench.head(&log).await), (stored, head.clone()));
    let alerts: Value = bench.fixture.admin.get("/api/v1/alerts").await.unwrap();
    assert_eq!(alerts["items"][0]["count"], json!(1));

    let next = Log::new(&bench.device.tpm);
    let previous = json!({ "log": log.id, "size": 12, "head": head["head"] });
    let statement = bench.device.tpm.certify_audit_key(next.origin());
    let body = registration(&statement, &previous);
    assert_eq!(next.register_with(&mut bench.connection, &body).await.status, StatusCode::OK);
    assert_eq!(bench.alerts().await, ["audit-fork"], "what follows a fork was told already");
}

#[tokio::test]
async fn checkpoints_and_starts_that_do_not_fit() {
    let (mut bench, mut log) = Bench::with_log().await;
    log.boot(5);
    log.put(&mut bench.connection, 0..2).await;
    let stored = bench.stored();
    let mut lies = log.clone();
    let mut checkpoint = lies.appender.checkpoint(None);
    checkpoint.size = 1;
    lies.sign(checkpoint);
    let answer = lies.put(&mut bench.connection, 2..3).await;
    assert_eq!(refusal(&answer), (422, "audit-checkpoint-invalid".to_owned()));
    assert_eq!(answer.json()["sequence"], json!(2));
    assert_eq!(bench.alerts().await, ["audit-checkpoint-invalid"]);

    let mut good = log.clone();
    good.operations(2);
    assert_eq!(good.put(&mut bench.connection, 2..3).await.status, StatusCode::OK);
    assert_eq!(good.put(&mut bench.connection, 3..4).await.status, StatusCode::OK);
    let mut back = good.clone();
    back.append(
        holdfast_audit_log::frame::Class::System,
        holdfast_audit_log::frame::Kind::Boot,
        b"{}",
    );
    back.checkpoint(Some(start(5)));
    let answer = back.put(&mut bench.connection, 4..6).await;
    assert_eq!(refusal(&answer), (409, "audit-fork".to_owned()));
    assert_eq!(bench.alerts().await, ["audit-rolled-back", "audit-checkpoint-invalid"]);
    let answer = good.put(&mut bench.connection, 0..4).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(bench.stored().len(), stored.len() + 2);
}

/// Numbers without order, the same in each run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0).unwrap() % end
    }
}

#[tokio::test]
async fn flipped_bytes_are_refused_and_change_nothing() {
    let (mut bench, mut log) = Bench::with_log().await;
    with_history(&mut log);
    let all = log.frames.len();
    log.put(&mut bench.connection, 0..9).await;
    let (stored, head) = (bench.stored(), bench.head(&log).await);
    let mut random = Numbers(0x9E37_79B9_7F4A_7C15);
    for round in 0..200 {
        let first = random.below(10);
        let mut bytes = log.bytes(first..all);
        let place = random.below(bytes.len());
        let bit = 1 << random.below(8);
        bytes[place] ^= bit;
        let is_packed = round % 2 == 0;
        let answer = if is_packed {
            let headers = [("content-encoding", "zstd")];
            log.try_put(&mut bench.connection, first, &headers, packed(&bytes)).await.unwrap()
        } else {
            log.put_bytes(&mut bench.connection, first, bytes).await
        };
        assert_eq!(refusal(&answer), (400, "audit-frame-invalid".to_owned()), "{first} {place}");
        let told = answer.json();
        let (offset, sequence) =
            (told["offset"].as_u64().unwrap(), told["sequence"].as_u64().unwrap());
        let begin = log.bytes(first..usize::try_from(sequence).unwrap()).len();
        assert_eq!(offset, begin as u64);
        assert!(
            begin <= place && place < begin + log.frames[usize::try_from(sequence).unwrap()].len()
        );
        assert_eq!(bench.stored(), stored);
        if round % 50 == 49 {
            bench.fixture.clock.advance(60);
            assert_eq!(bench.head(&log).await, head);
        }
    }
    assert_eq!(log.put(&mut bench.connection, 9..all).await.status, StatusCode::OK);
    assert_eq!(bench.head(&log).await, expected(&log));
}

type Headers<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn what_is_no_upload() {
    let (mut bench, mut log) = Bench::with_log().await;
    log.operations(3);
    log.put(&mut bench.connection, 0..2).await;
    let (stored, head) = (bench.stored(), bench.head(&log).await);
    let zstd = [("content-encoding", "zstd")];
    let bomb = packed(&vec![0; 10 << 20]);
    assert!(bomb.len() < 8 * 1024);
    // A frame that promises a window of 2 GiB (RFC 8878, section 3.1.1.1.2).
    let window = [&[0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xA8][..], &[1, 0, 0]].concat();
    let good = log.bytes(2..3);
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 5].to_vec();
    let table: Vec<(&str, Headers<'_>, Vec<u8>, u16, &str)> = vec![
        ("nothing", &[], vec![], 400, "audit-frame-invalid"),
        ("zeros", &[], vec![0; 200], 400, "audit-frame-invalid"),
        ("half a frame", &[], cut(&good), 400, "audit-frame-invalid"),
        ("another record", &[], log.bytes(1..2), 400, "audit-frame-invalid"),
        ("large", &[], vec![0; (1 << 20) + 1], 413, "audit-too-large"),
        ("a bomb", &zstd, bomb, 413, "audit-too-large"),
        ("a large window", &zstd, window, 400, "audit-encoding-invalid"),
        ("not packed", &zstd, good.clone(), 400, "audit-encoding-invalid"),
        ("half packed", &zstd, cut(&packed(&good)), 400, "audit-encoding-invalid"),
        ("more behind", &zstd, [packed(&good), vec![1]].concat(), 400, "audit-encoding-invalid"),
        ("packed nothing", &zstd, packed(&[]), 400, "audit-frame-invalid"),
        (
            "gzip",
            &[("content-encoding", "gzip")],
            good.clone(),
            415,
            "unsupported-content-encoding",
        ),
    ];
    for (name, headers, bytes, status, code) in table {
        let answer = log.try_put(&mut bench.connection, 2, headers, bytes).await.unwrap();
        assert_eq!(refusal(&answer), (status, code.to_owned()), "{name}");
        if answer.headers.get("connection").is_some_and(|value| value == "close") {
            bench.connection = connect(&bench.fixture, &bench.device).await;
        }
        assert_eq!(bench.stored(), stored, "{name}");
    }
    for path in ["x", "-1", "+2", "18446744073709551616"] {
        let path = format!("{}/records/{path}", log.path());
        let answer = bench.connection.send(Method::PUT, &path, good.clone()).await.unwrap();
        assert_eq!(refusal(&answer), (400, "malformed-request".to_owned()), "{path}");
    }
    let path = format!("{}/records/18446744073709551615", log.path());
    let answer = bench.connection.send(Method::PUT, &path, good.clone()).await.unwrap();
    assert_eq!(refusal(&answer), (409, "audit-gap".to_owned()));
    let path = format!("{}/records/2", log.path());
    let json = [("content-type", "application/json")];
    let answer = bench.connection.send_with(Method::PUT, &path, &json, good.clone()).await.unwrap();
    assert_eq!(refusal(&answer), (415, "unsupported-media-type".to_owned()));
    assert_eq!(bench.head(&log).await, head);
    assert_eq!(log.put_bytes(&mut bench.connection, 2, good).await.status, StatusCode::OK);
}

#[tokio::test]
async fn replayed_on_other_connections_and_under_a_renewed_certificate() {
    let (mut bench, mut log) = Bench::with_log().await;
    log.operations(6);
    log.put(&mut bench.connection, 0..3).await;
    bench.device.tpm.renew_device_key();
    let chain = bench.device.enrol(&bench.fixture.server).await;
    for _ in 0..2 {
        let key = bench.device.tpm.private_key();
        let dial = Dial::device(&bench.fixture.server).with_identity(chain.clone(), key);
        let mut connection = dial.connect().await.unwrap();
        for range in [0..3, 0..6] {
            let answer = log.put(&mut connection, range).await;
            assert_eq!(answer.status, StatusCode::OK);
        }
    }
    assert_eq!(bench.head(&log).await, expected(&log));
    assert_eq!(bench.stored().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_at_the_same_time_is_stored_once() {
    let (mut bench, mut log) = Bench::with_log().await;
    log.operations(40);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let mut connection = connect(&bench.fixture, &bench.device).await;
        let log = log.clone();
        tasks.spawn(async move {
            for first in 0..39 {
                let answer = log.put(&mut connection, first..first + 2).await;
                assert_eq!(answer.status, StatusCode::OK, "{first}");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(bench.head(&log).await, expected(&log));
    assert_eq!(bench.alerts().await, Vec::<String>::new());
    // Whoever came first stored two records, everybody else none or one.
    assert!(bench.stored().len() >= 20);
}

#[tokio::test]
async fn an_older_copy_of_the_index_is_brought_up_to_the_files() {
    let (mut bench, mut log) = Bench::with_log().await;
    with_history(&mut log);
    let all = log.frames.len();
    log.put(&mut bench.connection, 0..4).await;
    let copy = bench.fixture.data().join("copy.db");
    let database = rusqlite::Connection::open(bench.fixture.data().join("holdfast.db")).unwrap();
    database.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    drop(database);
    for range in [4..9, 9..10, 10..all] {
        assert_eq!(log.put(&mut bench.connection, range).await.status, StatusCode::OK);
    }
    let stored = bench.stored();
    for damaged in [false, true] {
        let restore = |data: &std::path::Path| {
            std::fs::copy(data.join("copy.db"), data.join("holdfast.db")).unwrap();
            let file = data.join("audit").join(&log.id).join(format!("{:020}.seg", 9));
            if damaged {
                let mut bytes = std::fs::read(&file).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::write(&file, bytes).unwrap();
            }
        };
        let fixture = bench.fixture.restart_after(restore).await;
        bench = Bench { fixture, ..bench };
        bench.connection = connect(&bench.fixture, &bench.device).await;
        if damaged {
            assert_eq!(bench.head(&log).await["size"], json!(9));
            // The device has it still: it is written over.
            log.put(&mut bench.connection, 9..10).await;
            log.put(&mut bench.connection, 10..all).await;
        }
        assert_eq!(bench.head(&log).await, expected(&log));
        assert_eq!(bench.stored(), stored);
    }
}
