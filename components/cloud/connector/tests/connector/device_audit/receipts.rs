//! Receipts: judged by OpenSSL and by the rules of RFC 7515, not by the code that makes them.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use holdfast_attestation::oid::PURPOSE_AUDIT_RECEIPT;
use http::StatusCode;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Bench;
use crate::support::audit_log::Log;
use crate::support::openssl::{Pems, openssl};

/// Header, payload and certificates of a receipt whose signature is that of its first certificate.
fn open(receipt: &str) -> (Value, Value, Vec<CertificateDer<'static>>) {
    let [header, payload, signature] = receipt.split('.').collect::<Vec<_>>()[..] else {
        panic!("{receipt}")
    };
    let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    let json = |part: &str| serde_json::from_slice::<Value>(&decode(part)).unwrap();
    let (told, claims) = (json(header), json(payload));
    let chain: Vec<CertificateDer<'static>> = told["x5c"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| BASE64_STANDARD.decode(one.as_str().unwrap()).unwrap().into())
        .collect();
    let (_, signer) = X509Certificate::from_der(&chain[0]).unwrap();
    let key = VerifyingKey::from_public_key_der(signer.public_key().raw).unwrap();
    let signature = Signature::from_slice(&decode(signature)).unwrap();
    key.verify(format!("{header}.{payload}").as_bytes(), &signature).unwrap();
    (told, claims, chain)
}

/// Whether OpenSSL leads the signer's certificate to this root, which is all that it knows.
fn leads_to(chain: &[CertificateDer<'_>], root: &CertificateDer<'_>) -> bool {
    let pems = Pems::new();
    let root = pems.certificates("root.pem", std::slice::from_ref(root));
    let rest = pems.certificates("rest.pem", &chain[1..]);
    let signer = pems.certificates("signer.pem", &chain[..1]);
    let (is_good, said) = openssl(&[
        "verify",
        "-x509_strict",
        "-no-CApath",
        "-no-CAstore",
        "-CAfile",
        &root,
        "-untrusted",
        &rest,
        &signer,
    ]);
    assert!(is_good || said.contains("error"), "{said}");
    is_good
}

async fn receipt(bench: &mut Bench, log: &Log) -> String {
    let answer = bench.connection.get(&log.path()).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    answer.json()["receipt"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_receipt_says_what_is_stored_and_is_of_this_purpose_alone() {
    let (mut bench, mut log) = Bench::with_log().await;
    log.boot(1);
    let answer = log.put(&mut bench.connection, 0..2).await.json();
    let (header, claims, chain) = open(answer["receipt"].as_str().unwrap());
    assert_eq!(
        (&header["alg"], &header["typ"]),
        (&json!("ES256"), &json!("holdfast-audit-receipt"))
    );
    let device = bench.fixture.device(super::EDGE_ID).await;
    let expected = json!({
        "log": log.id,
        "device_id": device["id"],
        "size": 2,
        "head": answer["head"],
        "root": answer["root"],
        "time": bench.fixture.server.app().now().unix_timestamp(),
    });
    assert_eq!(claims, expected);
    let root = bench.fixture.server.app().authority().root().clone();
    assert_eq!(chain.len(), 2);
    assert!(chain.iter().all(|certificate| *certificate != root));
    assert!(leads_to(&chain, &root));

    let (_, signer) = X509Certificate::from_der(&chain[0]).unwrap();
    let usage = signer.extended_key_usage().unwrap().unwrap();
    assert!(usage.critical);
    let others: Vec<&[u8]> =
        usage.value.other.iter().map(x509_parser::asn1_rs::Oid::as_bytes).collect();
    assert_eq!(others, [PURPOSE_AUDIT_RECEIPT.contents()]);
    assert!(!usage.value.any && !usage.value.client_auth && !usage.value.server_auth);
    assert!(!usage.value.ocsp_signing);
    assert!(!signer.is_ca());
}

#[tokio::test]
async fn the_signer_is_kept_and_renewed_in_time() {
    const DAY: i64 = 24 * 3600;
    let (mut bench, log) = Bench::with_log().await;
    let signer = |receipt: &str| open(receipt).2[0].clone();
    let first = signer(&receipt(&mut bench, &log).await);
    bench.fixture.clock.advance(20 * DAY - 1);
    assert_eq!(signer(&receipt(&mut bench, &log).await), first);
    bench.fixture.clock.advance(1);
    assert_ne!(signer(&receipt(&mut bench, &log).await), first);
}

#[tokio::test]
async fn receipts_lead_to_the_root_over_roll_overs() {
    let (mut bench, log) = Bench::with_log().await;
    let root = |bench: &Bench| bench.fixture.server.app().authority().root().clone();
    let old_root = root(&bench);
    let (_, _, old) = open(&receipt(&mut bench, &log).await);
    bench.fixture.roll_issuing().await;
    bench.fixture.server.reload_authority().await.unwrap();
    let (_, _, rolled) = open(&receipt(&mut bench, &log).await);
    assert_ne!(rolled[1], old[1]);
    assert!(leads_to(&rolled, &old_root) && leads_to(&old, &old_root));

    bench.fixture.roll_root().await;
    bench.fixture.server.reload_authority().await.unwrap();
    let new_root = root(&bench);
    assert_ne!(new_root, old_root);
    let (_, _, chain) = open(&receipt(&mut bench, &log).await);
    // While the overlap lasts, whoever knows either root believes it.
    assert!(leads_to(&chain, &new_root) && leads_to(&chain, &old_root));
    assert!(!leads_to(&chain, &chain[0].clone()));
}
