//! The OCSP responder, asked by OpenSSL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use rustls_pki_types::CertificateDer;

use super::{EDGE_ID, enrolled};
use crate::support::Fixture;
use crate::support::http::{get_plain, post_plain};
use crate::support::openssl::{Pems, openssl};

const REQUEST: &str = "application/ocsp-request";
/// `OCSPResponse` of `malformedRequest` and of `unauthorized`.
const MALFORMED: [u8; 5] = [0x30, 3, 0x0A, 1, 1];
const UNAUTHORIZED: [u8; 5] = [0x30, 3, 0x0A, 1, 6];

/// Asks with OpenSSL, off the threads that serve.
async fn ask(
    fixture: &Fixture,
    chain: &[CertificateDer<'static>],
    more: &[&str],
) -> (bool, String) {
    let pems = Pems::new();
    let issuer = pems.certificates("issuer.pem", &chain[1..2]);
    let leaf = pems.certificates("leaf.pem", &chain[..1]);
    let root = pems.certificates("root.pem", &[fixture.root()]);
    let url = format!("http://{}/ocsp", fixture.server.endpoints().public.unwrap());
    let mut all = vec!["ocsp", "-url", &url, "-CAfile", &root, "-issuer", &issuer];
    all.extend(more);
    if !more.contains(&"-serial") {
        all.extend(["-cert", &leaf]);
    }
    all.push("-resp_text");
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    tokio::task::spawn_blocking(move || {
        let _kept = pems;
        openssl(&all.iter().map(String::as_str).collect::<Vec<_>>())
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_hears_good_revoked_and_unknown() {
    let (fixture, _, chain) = enrolled().await;
    let (good, text) = ask(&fixture, &chain, &[]).await;
    assert!(good && text.contains("Response verify OK"), "{text}");
    assert!(text.contains("leaf.pem: good"), "{text}");
    for more in [["-sha256", "-no_nonce"].as_slice(), &["-sha1"], &["-sha512"]] {
        let (good, text) = ask(&fixture, &chain, more).await;
        assert!(good && text.contains(": good"), "{more:?}: {text}");
    }
    let (_, text) = ask(&fixture, &chain, &["-serial", "0x1234"]).await;
    assert!(text.contains("0x1234: unknown"), "{text}");

    fixture.change(EDGE_ID, "suspend").await.unwrap();
    let (_, text) = ask(&fixture, &chain, &[]).await;
    assert!(text.contains("leaf.pem: revoked") && text.contains("certificateHold"), "{text}");
    fixture.change(EDGE_ID, "resume").await.unwrap();
    assert!(ask(&fixture, &chain, &[]).await.1.contains("leaf.pem: good"));
    fixture.change(EDGE_ID, "revoke").await.unwrap();
    let (_, text) = ask(&fixture, &chain, &[]).await;
    assert!(text.contains("leaf.pem: revoked"), "{text}");
    // privilegeWithdrawn; this OpenSSL has no name for it.
    assert!(text.contains("(0x9)"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_issuing_ca_answers_until_it_is_retired() {
    let (fixture, _, old) = enrolled().await;
    fixture.roll_issuing().await;
    let (_, text) = ask(&fixture, &old, &[]).await;
    assert!(text.contains("Response verify OK") && text.contains("leaf.pem: good"), "{text}");
    let former = fixture.cas().await[2]["id"].as_str().unwrap().to_owned();
    assert!(fixture.ca(&["retire", &former, "--force"]).await);
    let (_, text) = ask(&fixture, &old, &[]).await;
    assert!(text.contains("unauthorized (6)"), "{text}");
}

#[tokio::test]
async fn requests_that_cannot_be_answered_are_refused() {
    let (fixture, _, chain) = enrolled().await;
    let pems = Pems::new();
    let issuer = pems.certificates("issuer.pem", &chain[1..2]);
    let leaf = pems.certificates("leaf.pem", &chain[..1]);
    let root = pems.certificates("root.pem", &[fixture.root()]);
    let request = |issuer: &str, times: usize| {
        let file = pems.path().join("request.der");
        let mut all = vec!["ocsp", "-issuer", issuer, "-reqout", file.to_str().unwrap()];
        (0..times).for_each(|_| all.extend(["-cert", &leaf]));
        assert!(openssl(&all).0);
        std::fs::read(&file).unwrap()
    };
    let good = request(&issuer, 1);
    let answer = post_plain(&fixture.server, "/ocsp", REQUEST, good.clone()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body[..2], [0x30, 0x82], "a signed answer");

    let mut trailing = good.clone();
    trailing.push(0);
    let mut damaged = good.clone();
    damaged[1] ^= 1;
    for (bytes, refusal) in [
        (Vec::new(), MALFORMED),
        (trailing, MALFORMED),
        (damaged, MALFORMED),
        (request(&issuer, 17), MALFORMED),
        // Certificates of the root are not this responder's.
        (request(&root, 1), UNAUTHORIZED),
    ] {
        let answer = post_plain(&fixture.server, "/ocsp", REQUEST, bytes).await;
        assert_eq!(*answer.body, refusal);
        assert_eq!(answer.headers["content-type"], "application/ocsp-response");
    }
    let answer = post_plain(&fixture.server, "/ocsp", "text/plain", good.clone()).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let answer = post_plain(&fixture.server, "/ocsp", REQUEST, vec![0x30; 5000]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);

    // By GET, escaped and not.
    let text = STANDARD.encode(&good);
    let escaped = text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    for path in [format!("/ocsp/{text}"), format!("/ocsp/{escaped}")] {
        let answer = get_plain(&fixture.server, &path).await;
        assert_eq!(answer.body[..2], [0x30, 0x82], "{path}");
    }
    assert_eq!(*get_plain(&fixture.server, "/ocsp/AAAA").await.body, MALFORMED);
    assert_eq!(*get_plain(&fixture.server, "/ocsp/%00").await.body, MALFORMED);
}
