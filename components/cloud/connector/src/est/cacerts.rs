//! `GET /.well-known/est/cacerts`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, header};

use super::Est;

/// RFC 7030, 4.1.3
const CONTENT_TYPE: &str = "application/pkcs7-mime; smime-type=certs-only";
/// Not a header of HTTP, but RFC 7030 asks for it and older clients look for it.
const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

pub(super) async fn cacerts(State(est): State<Est>) -> Response {
    certificates(&est.app.authority().ca_certificates())
}

/// A certs-only answer, base64 on one line: some clients stop at a line end.
pub(super) fn certificates(pkcs7: &[u8]) -> Response {
    let headers = [(header::CONTENT_TYPE, CONTENT_TYPE), (TRANSFER_ENCODING, "base64")];
    (headers, STANDARD.encode(pkcs7)).into_response()
}
