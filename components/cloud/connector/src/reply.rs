//! Answers that are errors, in the one form that every listener uses:
//! `{"error":{"code":…,"request_id":…,"detail":…}}`.

mod unread;

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use holdfast_attestation::refusal::Refusal;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;

use self::unread::Lent;
use crate::store::StoreError;

/// Identifies a request in logs, events and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

impl RequestId {
    /// A new one: 64 random bits, short enough to be read over the telephone.
    pub fn random() -> Self {
        let bytes = uuid::Uuid::new_v4().into_bytes();
        Self(hex::encode(&bytes[..8]))
    }
}

/// An answer that is an error.
#[derive(Debug)]
pub struct ErrorReply {
    status: StatusCode,
    code: String,
    detail: Option<String>,
    request_id: RequestId,
    retry_after: Option<u32>,
    asks_for_credentials: bool,
    facts: Option<serde_json::Map<String, serde_json::Value>>,
}

impl ErrorReply {
    /// With a stable code and words for people.
    pub fn new(
        status: StatusCode,
        code: &str,
        detail: impl Into<Option<String>>,
        request_id: &RequestId,
    ) -> Self {
        Self {
            status,
            code: code.to_owned(),
            detail: detail.into(),
            request_id: request_id.clone(),
            retry_after: None,
            asks_for_credentials: false,
            facts: None,
        }
    }

    /// With facts for programs, as members beside `error`.
    #[must_use]
    pub fn with_facts<const N: usize>(self, facts: [(&str, serde_json::Value); N]) -> Self {
        let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { facts: Some(facts), ..self }
    }

    /// Says when to come back, seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Asks the caller to authenticate by name and secret (RFC 7030, 3.2.3).
    #[must_use]
    pub fn asking_for_credentials(self) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, asks_for_credentials: true, ..self }
    }

    /// Whether it has this code.
    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// A fault of the server; the cause goes to the log only.
    pub fn internal(cause: &dyn std::fmt::Display, request_id: &RequestId) -> Self {
        tracing::error!(request_id = request_id.0, %cause, "request failed");
        let detail = "the server has a fault of its own; its log has the request id".to_owned();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server-error", detail, request_id)
    }

    /// A request that cannot be read.
    pub fn malformed(detail: String, request_id: &RequestId) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed-request", detail, request_id)
    }

    /// What a failed store operation means to a caller who may know everything.
    pub fn of_store(error: &StoreError, request_id: &RequestId) -> Self {
        let (status, code) = match error {
            StoreError::NotFound(_) => (StatusCode::NOT_FOUND, "not-found"),
            StoreError::Ambiguous(_) => (StatusCode::CONFLICT, "ambiguous"),
            StoreError::Conflict { code, .. } => (StatusCode::CONFLICT, *code),
            StoreError::Transition(_) => (StatusCode::CONFLICT, "wrong-state"),
            StoreError::Denied(denial) => (StatusCode::FORBIDDEN, denial.code),
            StoreError::Database(_) | StoreError::Closed => {
                return Self::internal(error, request_id);
            }
        };
        Self::new(status, code, error.to_string(), request_id)
    }
}

impl IntoResponse for ErrorReply {
    fn into_response(self) -> Response {
        let refusal =
            Refusal { code: self.code, request_id: self.request_id.0, detail: self.detail };
        let mut response = match self.facts {
            None => (self.status, Json(refusal)).into_response(),
            Some(mut members) => {
                let refusal = serde_json::to_value(refusal);
                if let Ok(serde_json::Value::Object(refusal)) = refusal {
                    members.extend(refusal);
                }
                (self.status, Json(members)).into_response()
            }
        };
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.asks_for_credentials {
            let scheme = HeaderValue::from_static("Basic realm=\"holdfast\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Gives each request its id, in the extensions and in the answer, and a deadline.
pub async fn with_request_id(request: Request, next: axum::middleware::Next) -> Response {
    let id = RequestId::random();
    let (parts, body) = request.into_parts();
    let body = Lent::new(body);
    let mut request = Request::from_parts(parts, HttpBody::new(body.clone()));
    request.extensions_mut().insert(id.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let started = std::time::Instant::now();
    let answered = tokio::time::timeout(DEADLINE, next.run(request)).await;
    let mut response = answered.unwrap_or_else(|_| {
        let detail = "the request took too long".to_owned();
        ErrorReply::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail, &id).into_response()
    });
    if !body.drain().await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    tracing::info!(
        request_id = id.0,
        %method,
        path,
        status = response.status().as_u16(),
        milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "request"
    );
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// For body and answer together; the largest body is some kilobytes.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// The id that [`with_request_id`] gave.
pub fn request_id(extensions: &http::Extensions) -> RequestId {
    extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::random)
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(request_id(&parts.extensions))
    }
}

/// A JSON body whose faults are told in the common form.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ErrorReply;
    async fn from_request(request: Request, state: &S) -> Result<Self, ErrorReply> {
        let id = request_id(request.extensions());
        expect_media_type(request.headers(), "application/json", &id)?;
        let bytes = body_bytes(request, state).await?;
        // For serde the list of its fields is a structure as well.
        if bytes.trim_ascii_start().starts_with(b"[") {
            let detail = "the body is not as expected: it is a list, not an object".to_owned();
            return Err(ErrorReply::malformed(detail, &id));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|e| ErrorReply::malformed(format!("the body is not as expected: {e}"), &id))
    }
}

/// Refuses a body that says it is something else. One that does not say is taken for what is
/// expected: its parser is the judge.
pub fn expect_media_type(
    headers: &http::HeaderMap,
    expected: &str,
    id: &RequestId,
) -> Result<(), ErrorReply> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case(expected)) {
        return Ok(());
    }
    let detail = format!("the body is sent as {value:?}, expected is {expected}");
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(ErrorReply::new(status, "unsupported-media-type", detail, id))
}

/// The whole body, within the router's limit.
pub async fn body_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ErrorReply> {
    let id = request_id(request.extensions());
    Bytes::from_request(request, state).await.map_err(|rejection| {
        let status = rejection.status();
        let code =
            if status == StatusCode::PAYLOAD_TOO_LARGE { "too-large" } else { "malformed-request" };
        ErrorReply::new(status, code, rejection.body_text(), &id)
    })
}

/// Query parameters whose faults are told in the common form.
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = ErrorReply;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorReply> {
        let id = request_id(&parts.extensions);
        Query::<T>::from_request_parts(parts, state)
            .await
            .map(|Query(parameters)| Self(parameters))
            .map_err(|rejection| ErrorReply::malformed(rejection.body_text(), &id))
    }
}

/// The answer to a path that does not exist.
pub async fn not_found(id: RequestId) -> ErrorReply {
    let detail = "there is nothing at this path".to_owned();
    ErrorReply::new(StatusCode::NOT_FOUND, "not-found", detail, &id)
}

/// The answer to a method that a path does not have.
pub async fn method_not_allowed(id: RequestId) -> ErrorReply {
    let detail = "this path does not have this method".to_owned();
    ErrorReply::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail, &id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_compared_without_parameters_and_case() {
        let id = RequestId::random();
        for (sent, is_taken) in [
            (None, true),
            (Some("application/json"), true),
            (Some("Application/JSON; charset=utf-8"), true),
            (Some("application/jsonp"), false),
            (Some("text/plain"), false),
            (Some(""), false),
            (Some("application/x-www-form-urlencoded"), false),
        ] {
            let mut headers = http::HeaderMap::new();
            if let Some(sent) = sent {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(sent));
            }
            let taken = expect_media_type(&headers, "application/json", &id);
            assert_eq!(taken.is_ok(), is_taken, "{sent:?}");
        }
    }
}
