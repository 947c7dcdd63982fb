//! What it takes to register a log, each condition violated once.

use holdfast_attestation::evidence::{CertifyStatement, Evidence};
use holdfast_attestation::hash::HashAlgorithm;
use holdfast_attestation::tpm::{EccScheme, ObjectAttributes};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Bench, enrol, expected};
use crate::support::audit_log::{Log, registration};
use crate::support::device::Tpm as _;
use crate::support::http::{Answer, Dial};
use crate::support::software::SoftwareTpm;

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

#[tokio::test]
async fn a_log_is_registered_once_and_recorded_once() {
    let mut bench = Bench::start().await;
    let log = Log::new(&bench.device.tpm);
    let answer = bench.connection.get(&log.path()).await.unwrap();
    assert_eq!(refusal(&answer), (404, "audit-log-unknown".to_owned()));
    for _ in 0..2 {
        let answer = log.register(&mut bench.connection, &bench.device.tpm).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(bench.head(&log).await, expected(&log));
    }
    let audit = bench.fixture.audit().await;
    let records: Vec<_> = audit.iter().filter(|(act, ..)| act == "audit-log.register").collect();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(bench.alerts().await, Vec::<String>::new());
    // With a later AK, the statement of an earlier one is good for the head of a known log.
    let body = registration(&bench.device.tpm.certify_audit_key(log.origin()), &Value::Null);
    bench.device.tpm.renew_ak();
    let mut connection = super::connect(&bench.fixture, &bench.device).await;
    assert_eq!(log.register_with(&mut connection, &body).await.status, StatusCode::OK);
    let other = Log::new(&bench.device.tpm);
    let answer = other.register_with(&mut connection, &body).await;
    assert_eq!(refusal(&answer), (422, "audit-evidence-signature".to_owned()));
}

/// Name, body, status and code.
type Case = (&'static str, Value, u16, &'static str);

async fn assert_refused(bench: &mut Bench, log: &Log, table: Vec<Case>) {
    for (name, body, status, code) in table {
        let answer = log.register_with(&mut bench.connection, &body).await;
        assert_eq!(refusal(&answer), (status, code.to_owned()), "{name}: {}", answer.json());
        let known = bench.connection.get(&log.path()).await.unwrap();
        assert_eq!(known.status, StatusCode::NOT_FOUND, "{name}");
        assert_eq!(bench.fixture.audit().await[0].2, "failed");
        bench.fixture.clock.advance(60);
    }
}

#[tokio::test]
async fn bodies_that_are_no_registration() {
    let mut bench = Bench::start().await;
    let log = Log::new(&bench.device.tpm);
    let good = registration(&bench.device.tpm.certify_audit_key(log.origin()), &Value::Null);
    let previous = |id: &str| json!({ "log": id, "size": 1, "head": "00".repeat(32) });
    let missing = good.as_object().unwrap().iter().filter(|(name, _)| *name != "attest");
    let with = |part: &str, value: Value| {
        let mut body = good.clone();
        body[part] = value;
        body
    };
    let malformed = [
        with("more", json!(1)),
        missing.map(|(name, value)| (name.clone(), value.clone())).collect(),
        with("previous", previous("x")),
        with("public", json!(1)),
    ];
    for body in malformed {
        let answer = log.register_with(&mut bench.connection, &body).await;
        assert_eq!(refusal(&answer), (400, "malformed-request".to_owned()), "{body}");
    }
    for id in ["x", "0123456789ABCDEF0123456789ABCDEF"] {
        let path = format!("/api/v1/device/audit/logs/{id}");
        let answer = bench.connection.send(Method::PUT, &path, good.to_string()).await.unwrap();
        assert_eq!(refusal(&answer), (400, "malformed-request".to_owned()));
    }
    let invalid = "audit-evidence-invalid";
    let itself = with("previous", previous(&log.id));
    let table = vec![
        ("base64", with("public", json!("?")), 400, invalid),
        ("public", with("public", json!("AAAA")), 400, invalid),
        ("attest", with("attest", json!("AAAA")), 400, invalid),
        ("signature", with("signature", json!("AAAA")), 400, invalid),
        ("follows itself", itself, 422, "audit-previous-invalid"),
    ];
    assert_refused(&mut bench, &log, table).await;
}

#[tokio::test]
async fn each_condition_violated_once() {
    let mut bench = Bench::start().await;
    let log = Log::new(&bench.device.tpm);
    let tpm = &mut bench.device.tpm;
    let body = |statement: &CertifyStatement| registration(statement, &Value::Null);
    let good = tpm.certify_audit_key(log.origin());
    let Evidence { certify: device_key, quote } = tpm.attest(&[0; 32]);
    let quoted = CertifyStatement {
        attest: quote.attest,
        signature: quote.signature,
        public: good.public.clone(),
    };
    let another = CertifyStatement { public: device_key.public, ..good.clone() };
    let elsewhere = tpm.certify_audit_key("holdfast/audit/ffffffffffffffffffffffffffffffff");
    let foreign = SoftwareTpm::new(&bench.fixture.site).certify_audit_key(log.origin());
    let mut table = vec![
        ("a quote", body(&quoted), 422, "audit-attest-type"),
        ("another key", body(&another), 422, "audit-key-name"),
        ("another log", body(&elsewhere), 422, "audit-qualifying-data"),
        ("another TPM", body(&foreign), 422, "audit-evidence-signature"),
    ];
    for scheme in [EccScheme::Ecdh(HashAlgorithm::Sha256), EccScheme::Ecdsa(HashAlgorithm::Sha512)]
    {
        let scheme = std::mem::replace(&mut tpm.audit_key_scheme, scheme);
        table.push(("scheme", body(&tpm.certify_audit_key(log.origin())), 422, "audit-key-type"));
        tpm.audit_key_scheme = scheme;
    }
    let all = tpm.audit_key_attributes;
    for attribute in [
        ObjectAttributes::FIXED_TPM,
        ObjectAttributes::FIXED_PARENT,
        ObjectAttributes::SENSITIVE_DATA_ORIGIN,
        ObjectAttributes::SIGN,
    ] {
        tpm.audit_key_attributes =
            ObjectAttributes::from_bits(all.bits() & !attribute.bits()).unwrap();
        let body = body(&tpm.certify_audit_key(log.origin()));
        table.push(("attribute", body, 422, "audit-key-attributes"));
    }
    assert_refused(&mut bench, &log, table).await;
}

#[tokio::test]
async fn a_log_stays_with_its_device_and_its_key() {
    let (mut bench, mut log) = Bench::with_log().await;
    log.operations(2);
    log.put(&mut bench.connection, 0..2).await;
    let (other, mut connection) = enrol(&bench.fixture, "SN-0002").await;
    let taken = Log::with_id(&other.tpm, &log.id);
    let answer = taken.register(&mut connection, &other.tpm).await;
    assert_eq!(refusal(&answer), (409, "audit-log-taken".to_owned()));
    for answer in [
        connection.get(&log.path()).await.unwrap(),
        log.put(&mut connection, 0..2).await,
        taken.put_bytes(&mut connection, 2, log.bytes(0..1)).await,
    ] {
        assert_eq!(refusal(&answer), (404, "audit-log-unknown".to_owned()));
    }
    bench.device.tpm.audit_key = other.tpm.audit_key.clone();
    let answer = log.register(&mut bench.connection, &bench.device.tpm).await;
    assert_eq!(refusal(&answer), (409, "audit-key-changed".to_owned()));
    assert_eq!(bench.head(&log).await, expected(&log));
}

#[tokio::test]
async fn another_log_closes_the_open_one_with_an_alert() {
    let (mut bench, mut log) = Bench::with_log().await;
    log.operations(3);
    log.put(&mut bench.connection, 0..2).await;
    let next = Log::new(&bench.device.tpm);
    let head = log.appender.checkpoint(None).head.to_string();
    let previous = json!({ "log": log.id, "size": 2, "head": head });
    let statement = bench.device.tpm.certify_audit_key(next.origin());
    let body = registration(&statement, &previous);
    assert_eq!(next.register_with(&mut bench.connection, &body).await.status, StatusCode::OK);
    assert_eq!(bench.alerts().await, ["audit-log-replaced"]);

    let repeated = log.put(&mut bench.connection, 0..2).await;
    assert_eq!(repeated.status, StatusCode::OK);
    let answer = log.put(&mut bench.connection, 2..3).await;
    assert_eq!(refusal(&answer), (409, "audit-log-closed".to_owned()));
    assert_eq!(answer.json()["size"], json!(2));
}

#[tokio::test]
async fn a_device_that_is_shut_out_registers_and_hands_over_nothing() {
    for verb in ["suspend", "revoke", "retire"] {
        let (mut bench, mut log) = Bench::with_log().await;
        log.operations(1);
        let chain = bench.device.enrol(&bench.fixture.server).await;
        let key = bench.device.tpm.private_key();
        let dial = || {
            let (chain, key) = (chain.clone(), key.clone_key());
            Dial::device(&bench.fixture.server).with_identity(chain, key)
        };
        let mut other = dial().connect().await.unwrap();
        let before = bench.stored();
        bench.fixture.change(super::EDGE_ID, verb).await.unwrap();
        let answer = log.register(&mut other, &bench.device.tpm).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{verb}");
        let answer = log.put(&mut bench.connection, 0..1).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{verb}");
        assert_eq!(bench.stored(), before);
    }
}

#[tokio::test]
async fn asking_is_limited() {
    let (mut bench, log) = Bench::with_log().await;
    let mut refused = 0;
    for _ in 0..40 {
        let answer = bench.connection.get(&log.path()).await.unwrap();
        if answer.status != StatusCode::OK {
            assert_eq!(refusal(&answer), (429, "rate-limited".to_owned()));
            assert!(answer.headers.contains_key("retry-after"));
            refused += 1;
        }
    }
    assert_eq!(refused, 11);
}
