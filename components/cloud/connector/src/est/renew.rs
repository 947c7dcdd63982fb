//! `POST /.well-known/est/simplereenroll` (RFC 7030, 4.2.2): the next certificate, asked for with
//! the one in force. A certificate alone is not enough: the TPM proves the new key and what booted
//! as at the enrolment, by the same AK.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::Response;
use holdfast_attestation::refusal::Reason;
use http::StatusCode;

use super::enrol::{
    Judges, REQUEST_TYPE, Shown, decode, issue, nonce_unknown, prove, take_challenge,
};
use super::expectation::Expectation;
use super::nonce::unix;
use super::refusal::{Attempt, Refused};
use super::session::OpenChallenge;
use super::tpm_trust::TpmTrust;
use super::{Est, Session, plain};
use crate::app::App;
use crate::ca::Serial;
use crate::registry::{CertificateRecord, Claim, Device, Renewal, admit_renewal};
use crate::reply::{ErrorReply, RequestId, body_bytes, expect_media_type};
use crate::tls::Connection;

pub(super) async fn simplereenroll(
    State(est): State<Est>,
    id: RequestId,
    Extension(connection): Extension<Arc<Connection<Session>>>,
    request: Request,
) -> Result<Response, ErrorReply> {
    let now = est.app.now();
    expect_media_type(request.headers(), REQUEST_TYPE, &id)?;
    let body = body_bytes(request, &()).await?;
    let csr = decode(&body, &id)?;
    let (certificate, device) = shown(&est.app, &connection, &id).await?;
    let Some((open, exporter)) = take_challenge(&connection) else {
        if certificate.attested {
            return Err(nonce_unknown(&id));
        }
        let source = connection.peer.ip();
        return plain::renew(&est, &id, source, (&certificate, &device), &csr).await;
    };
    let claim = Claim { edge_id: open.challenge.edge_id.clone(), ek_sha256: Some(open.ek_sha256) };
    let attempt = Attempt {
        app: &est.app,
        id: &id,
        source: connection.peer.ip(),
        claim: &claim,
        renewing: Some(&device),
        now,
    };
    match renew(&attempt, &certificate, &device, open, exporter, csr).await {
        Ok(response) => Ok(response),
        Err(refused) => Err(attempt.refuse(&[], refused).await),
    }
}

/// The certificate that the client showed in TLS, as the registry knows it.
async fn shown(
    app: &App,
    connection: &Connection<Session>,
    id: &RequestId,
) -> Result<(CertificateRecord, Device), ErrorReply> {
    let refused = |reason: Reason, detail: &str| {
        ErrorReply::new(StatusCode::FORBIDDEN, reason.code(), detail.to_owned(), id)
    };
    let serial = connection.certificate.as_ref().and_then(|der| Serial::of_certificate(der));
    let serial = serial.ok_or_else(|| {
        let detail = "renew with the present certificate as the client certificate of TLS; \
                      without one, enrol with simpleenroll";
        refused(Reason::CertificateNeeded, detail)
    })?;
    let found =
        app.store.session(serial.clone()).await.map_err(|e| ErrorReply::of_store(&e, id))?;
    found.ok_or_else(|| {
        tracing::warn!(request_id = id.0, %serial, peer = %connection.peer,
            "a certificate of this authority is not in the store");
        refused(Reason::CertificateUnknown, "this certificate is not known here; enrol again")
    })
}

async fn renew(
    attempt: &Attempt<'_>,
    certificate: &CertificateRecord,
    device: &Device,
    open: OpenChallenge,
    exporter: [u8; 32],
    csr: Vec<u8>,
) -> Result<Response, Refused> {
    let recorded_ak = attempt.app.store.attestation_key(device.id).await;
    let recorded_ak = recorded_ak.map_err(|e| Refused::fault(e.to_string()))?;
    let renewal = Renewal {
        claim: attempt.claim,
        ak_public: &open.challenge.ak.marshal(),
        recorded_ak: recorded_ak.as_deref(),
        certificate,
        device,
    };
    admit_renewal(&renewal, attempt.now)?;
    let expectation = Expectation::of_device(attempt.app, device)
        .await
        .map_err(|e| Refused::fault(e.to_string()))?;
    let hint = expectation.hint(device);
    let judges = Judges { expectation, trust: TpmTrust::of_device(attempt.app, device).await? };
    let proof = prove(csr, open, exporter, unix(attempt.now), judges)
        .await
        .map_err(|refused| refused.with_hint(hint))?;
    issue(attempt, device, Shown::Attested(proof), Some(&certificate.serial)).await
}
