//! Bodies of the wrong type, too long, or that never end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use holdfast_cloud::management;
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::bare::Bare;
use crate::support::Fixture;
use crate::support::device::{Device, ENROL, NONCE, Tpm as _};
use crate::support::http::Dial;
use crate::support::software::SoftwareTpm;

const EDGE_ID: &str = "SN-0001";
const TEN_MEGABYTES: usize = 10_000_000;
const NONCE_TYPE: &str = "application/est-attestation-freshness+json";

async fn registered() -> (Fixture, Device<SoftwareTpm>) {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
    (fixture, device)
}

#[tokio::test]
async fn a_body_of_another_type_is_refused_and_uses_no_nonce_up() {
    let (fixture, device) = registered().await;
    let bare = Bare::new(&fixture.server);
    let request = device.nonce_request();
    for (path, wrong) in [
        (NONCE, "application/json"),
        (NONCE, "text/plain"),
        (ENROL, "application/json"),
        (ENROL, "application/x-www-form-urlencoded"),
        (ENROL, "application/pkcs10-mime"),
        (ENROL, "\u{e4}"),
    ] {
        let answer = bare.send(path, Some(wrong), Body::from(request.clone())).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} {wrong}");
        assert_eq!(answer.code(), "unsupported-media-type");
    }
    let answer = bare.send(NONCE, Some(NONCE_TYPE), Body::from(request)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let challenge = serde_json::from_slice(&answer.body).unwrap();
    let body = device.answer(&challenge, &bare.exporter());
    let wrong = bare.send(ENROL, Some("text/plain"), Body::from(body.clone())).await;
    assert_eq!(wrong.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let answer = bare.send(ENROL, Some("Application/PKCS10"), Body::from(body)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn ten_megabytes_are_refused_on_every_listener_and_others_are_served() {
    let (fixture, device) = registered().await;
    let chain = device.enrol(&fixture.server).await;
    let body = Bytes::from(vec![b'A'; TEN_MEGABYTES]);
    let own = || (chain.clone(), device.tpm.private_key());
    let management =
        || Dial { address: fixture.server.endpoints().management, ..Dial::est(&fixture.server) };
    for (what, dial, path) in [
        ("nonce", Dial::est(&fixture.server), NONCE),
        ("simpleenroll", Dial::est(&fixture.server), ENROL),
        ("device", Dial::device(&fixture.server).with_identity(own().0, own().1), "/"),
        ("management", management(), "/api/v1/devices"),
    ] {
        let mut connection = dial.connect().await.unwrap();
        // The server may close while the client still writes.
        if let Ok(answer) = connection.send(Method::POST, path, body.clone()).await {
            assert!(answer.status.is_client_error(), "{what}: {}", answer.status);
        }
        assert!(connection.get("/healthz").await.is_err(), "{what}: the connection is still open");
    }
    device.enrol(&fixture.server).await;
}

/// Counts what is taken of an endless body.
fn endless(taken: &Arc<AtomicUsize>) -> Body {
    let taken = Arc::clone(taken);
    Body::from_stream(stream::repeat_with(move || {
        taken.fetch_add(1024, Ordering::Relaxed);
        Ok::<_, std::convert::Infallible>(Bytes::from(vec![b'A'; 1024]))
    }))
}

#[tokio::test]
async fn a_body_without_end_is_not_read_further_than_the_limit() {
    let fixture = Fixture::start().await;
    let bare = Bare::new(&fixture.server);
    for path in [NONCE, ENROL] {
        let taken = Arc::new(AtomicUsize::new(0));
        let answer = bare.send(path, None, endless(&taken)).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert_eq!(answer.code(), "too-large");
        assert!(taken.load(Ordering::Relaxed) <= 66 * 1024, "{path}: {taken:?}");
    }
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_cut_off_at_the_deadline() {
    let fixture = Fixture::start().await;
    let bare = Bare::new(&fixture.server);
    tokio::time::pause();
    for path in [NONCE, ENROL] {
        let dripping = Body::from_stream(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(b"A")), ()))
        }));
        let begun = Instant::now();
        let answer = bare.send(path, None, dripping).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::REQUEST_TIMEOUT, "timeout".into()));
        assert_eq!(begun.elapsed().as_secs(), 30, "{path}");
    }
}

#[tokio::test]
async fn the_management_api_takes_json_only() {
    let fixture = Fixture::start().await;
    let wanted = json!({ "name": "test", "role": "admin" });
    let made: Value = fixture.admin.post("/api/v1/api-keys", &wanted).await.unwrap();
    let key = format!("Bearer {}", made["key"].as_str().unwrap());
    let router = management::router(fixture.server.app());
    for path in ["/api/v1/devices", "/api/v1/sites", "/api/v1/releases", "/api/v1/api-keys"] {
        for (media_type, expected) in [
            ("text/csv", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ("application/json", StatusCode::BAD_REQUEST),
        ] {
            let request = Request::post(path)
                .header(header::AUTHORIZATION, &key)
                .header(header::CONTENT_TYPE, media_type)
                .body(Body::from("[]"))
                .unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), expected, "{path} {media_type}");
        }
    }
}
