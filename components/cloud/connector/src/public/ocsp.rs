//! `POST /ocsp` and `GET /ocsp/REQUEST` (RFC 6960, appendix A.1).

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, header};

use super::{BODY_LIMIT, CACHE_CONTROL, Public};
use crate::ca::{OcspAnswer, OcspRefusal, OcspRequest, OcspStatus};
use crate::reply::{ErrorReply, RequestId, body_bytes};

const REQUEST_TYPE: &str = "application/ocsp-request";
const RESPONSE_TYPE: &str = "application/ocsp-response";

pub(super) async fn ask(
    State(public): State<Public>,
    id: RequestId,
    request: Request,
) -> Result<Response, ErrorReply> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_none_or(|value| value.as_bytes() != REQUEST_TYPE.as_bytes()) {
        let detail = format!("send the request as {REQUEST_TYPE}");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(ErrorReply::new(status, "unsupported-media-type", detail, &id));
    }
    let body = body_bytes(request, &()).await?;
    Ok(respond(public.answer(&body, &id).await, false))
}

pub(super) async fn ask_by_path(
    State(public): State<Public>,
    id: RequestId,
    Path(request): Path<String>,
) -> Response {
    let der = STANDARD.decode(request).ok().filter(|der| der.len() <= BODY_LIMIT);
    let answer = match der {
        Some(der) => public.answer(&der, &id).await,
        None => Err(OcspRefusal::MalformedRequest),
    };
    respond(answer, true)
}

/// RFC 6960 has its own errors; to HTTP they are answers like others.
fn respond(answer: Result<OcspAnswer, OcspRefusal>, may_be_cached: bool) -> Response {
    let may_be_cached = may_be_cached && answer.as_ref().is_ok_and(|answer| !answer.is_for_one);
    let caching = if may_be_cached { CACHE_CONTROL } else { "no-store" };
    let headers = [(header::CONTENT_TYPE, RESPONSE_TYPE), (header::CACHE_CONTROL, caching)];
    let der = answer.map_or_else(OcspRefusal::to_der, |answer| answer.der);
    (headers, der).into_response()
}

impl Public {
    async fn answer(&self, der: &[u8], id: &RequestId) -> Result<OcspAnswer, OcspRefusal> {
        let request = OcspRequest::parse(der)?;
        let (authority, now) = (self.app.authority(), self.app.now());
        let ca = request.issuer(authority.issuing_cas())?;
        let fault = |error: &dyn std::fmt::Display| {
            tracing::error!(request_id = id.0, %error, "an OCSP request could not be answered");
            OcspRefusal::InternalError
        };
        let serials = request.serials().collect();
        let standings =
            self.app.store.standings(ca.clone(), serials).await.map_err(|e| fault(&e))?;
        let statuses: Vec<OcspStatus> = standings
            .into_iter()
            .map(|standing| match standing {
                None => OcspStatus::Unknown,
                Some(standing) => {
                    standing.revocation(now).map_or(OcspStatus::Good, OcspStatus::Revoked)
                }
            })
            .collect();
        authority.answer_ocsp(&request, ca, &statuses, now).map_err(|e| fault(&e))
    }
}
