//! `POST /.well-known/est/nonce`: checks 1 and 3, and a challenge for everybody whose keys are well
//! formed. Whether the TPM is registered (2) is decided with the registration (10) at
//! simpleenroll, so that this answer has one shape and time for known and unknown devices.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use holdfast_attestation::challenge::{ChallengeContext, issue_challenge};
use holdfast_attestation::nonce::{MEDIA_TYPE, NonceRequest, RequestInfo};
use holdfast_attestation::refusal::Reason;
use holdfast_attestation::tpm::Public;
use holdfast_attestation::verify::{EkTrust, check_nonce_request};
use http::header;
use rand_core::OsRng;
use time::OffsetDateTime;

use super::refusal::{Attempt, Refused};
use super::session::OpenChallenge;
use super::{Est, Session};
use crate::registry::{Claim, Digest};
use crate::reply::{ErrorReply, RequestId, body_bytes, expect_media_type};
use crate::tls::Connection;

/// Seconds for which a nonce is good.
const LIFETIME: u64 = 600;

pub(super) async fn nonce(
    State(est): State<Est>,
    id: RequestId,
    Extension(connection): Extension<Arc<Connection<Session>>>,
    request: Request,
) -> Result<Response, ErrorReply> {
    let now = est.app.now();
    let source = connection.peer.ip();
    est.limits.take_source(source, now).map_err(|e| too_many(e.retry_after, &id))?;
    expect_media_type(request.headers(), MEDIA_TYPE, &id)?;
    let body = body_bytes(request, &()).await?;
    let info = NonceRequest::from_json(&body)
        .map_err(|e| ErrorReply::malformed(e.to_string(), &id))?
        .type_info
        .info;
    let ek_sha256 =
        claimed_ek(&info).map_err(|e| ErrorReply::malformed(format!("ek_public: {e}"), &id))?;
    est.limits.take_device(source, ek_sha256, now).map_err(|e| too_many(e.retry_after, &id))?;

    let claim = Claim { edge_id: info.edge_id.clone(), ek_sha256: Some(ek_sha256) };
    let attempt = Attempt { app: &est.app, id: &id, source, claim: &claim, renewing: None, now };
    let candidates = attempt.candidates().await?;
    let Some(exporter) = connection.exporter else {
        return Err(attempt.refuse(&candidates, Refused::old_tls()).await);
    };
    let context = ChallengeContext { tls_exporter: exporter, now: unix(now), lifetime: LIFETIME };
    match challenge(info, ek_sha256, &context).await {
        Ok((challenge, answer)) => {
            connection.session.open(challenge);
            Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], answer).into_response())
        }
        Err(refused) => Err(attempt.refuse(&candidates, refused).await),
    }
}

pub(super) fn too_many(seconds: u32, id: &RequestId) -> ErrorReply {
    let detail = format!("too many requests; come back in {seconds} s");
    let status = http::StatusCode::TOO_MANY_REQUESTS;
    ErrorReply::new(status, Reason::RateLimited.code(), detail, id).retry_after(seconds)
}

/// The hash under which this EK would be registered.
fn claimed_ek(info: &RequestInfo) -> Result<Digest, String> {
    let ek = Public::parse(&info.ek_public).map_err(|e| e.to_string())?;
    let spki = ek.to_spki_der().map_err(|e| e.to_string())?;
    Ok(Digest(holdfast_attestation::ek::ek_sha256(&spki)))
}

/// The public-key operations, off the threads that serve connections.
async fn challenge(
    info: RequestInfo,
    ek_sha256: Digest,
    context: &ChallengeContext,
) -> Result<(OpenChallenge, Vec<u8>), Refused> {
    let context = *context;
    let work = move || {
        // Anybody's EK passes check 2 here; the registry knows the registered hash.
        let verdict = check_nonce_request(&info, &EkTrust::Sha256(ek_sha256.0), context.now)?;
        let (challenge, response) =
            issue_challenge(&verdict.ek, &verdict.ak, &info, &context, &mut OsRng)
                .map_err(|e| Refused::malformed(format!("ek_public: {e}")))?;
        let answer = response.to_json().map_err(|e| Refused::fault(e.to_string()))?;
        let ek_certificates = info.ek_certificates;
        Ok((OpenChallenge { challenge, ek_sha256, ek_certificates }, answer))
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(Refused::fault(e.to_string())))
}

/// Seconds since 1970, none before.
pub(super) fn unix(moment: OffsetDateTime) -> u64 {
    u64::try_from(moment.unix_timestamp()).unwrap_or(0)
}
