//! `GET /ca/ID.crt`: the certificate of a root or an issuing CA, DER (RFC 5280, 4.2.2.1).

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header;

use super::{CACHE_CONTROL, Public};
use crate::ca::CaId;
use crate::reply::{self, ErrorReply, RequestId};

pub(super) async fn show(
    State(public): State<Public>,
    id: RequestId,
    Path(file): Path<String>,
) -> Result<Response, ErrorReply> {
    let authority = public.app.authority();
    let wanted: Option<CaId> = file.strip_suffix(".crt").and_then(|name| name.parse().ok());
    let found = authority.roster().anchors().find(|ca| Some(ca.id()) == wanted.as_ref());
    let Some(ca) = found else { return Err(reply::not_found(id).await) };
    let headers =
        [(header::CONTENT_TYPE, "application/pkix-cert"), (header::CACHE_CONTROL, CACHE_CONTROL)];
    Ok((headers, ca.der().to_vec()).into_response())
}
