//! The enrolment listener's routes without the listener: what TLS and HTTP would hand over.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use holdfast_attestation::hash::sha256;
use holdfast_cloud::est::{self, EnrolmentRates, Session};
use holdfast_cloud::server::Server;
use holdfast_cloud::tls::{Connection, Rate};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::support::http::Answer;

const GENEROUS: Rate = Rate { burst: u32::MAX, per_minute: u32::MAX };

/// One connection.
pub struct Bare {
    router: Router,
    connection: Arc<Connection<Session>>,
}

impl Bare {
    pub fn new(server: &Server) -> Self {
        let rates = EnrolmentRates { source: GENEROUS, device: GENEROUS };
        Self { router: est::router(server.app(), rates), connection: connection(0) }
    }

    /// Another connection to the same server.
    pub fn reconnect(&self, id: u64) -> Self {
        Self { router: self.router.clone(), connection: connection(id) }
    }

    pub fn exporter(&self) -> [u8; 32] {
        self.connection.exporter.unwrap()
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(path, None, Body::from(body.into())).await
    }

    pub async fn send(&self, path: &str, media_type: Option<&str>, body: Body) -> Answer {
        let mut request = Request::post(path);
        if let Some(media_type) = media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(Arc::clone(&self.connection));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

fn connection(id: u64) -> Arc<Connection<Session>> {
    Arc::new(Connection {
        id,
        peer: "127.0.0.1:1".parse().unwrap(),
        certificate: None,
        exporter: Some(sha256(&[&id.to_be_bytes()])),
        session: Session::default(),
    })
}

/// A refusal in the common form that blames the request, not the server.
pub fn assert_refused(answer: &Answer, what: &str) {
    let body = String::from_utf8_lossy(&answer.body);
    assert!(answer.status.is_client_error(), "{what}: {} {body}", answer.status);
    assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{what}");
    assert!(!answer.code().is_empty() && answer.request_id().len() == 16, "{what}: {body}");
}
