//! `POST /.well-known/est/simpleenroll`: checks 4 to 10, and the certificate.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use holdfast_attestation::csr::decode_body;
use holdfast_attestation::refusal::Reason;
use holdfast_attestation::verify::{EnrolmentContext, EnrolmentVerdict, check_enrolment};
use http::StatusCode;
use time::Duration;

use super::cacerts::certificates;
use super::expectation::{Expectation, site_sha256};
use super::nonce::unix;
use super::refusal::{Attempt, Refused};
use super::session::OpenChallenge;
use super::{Est, Session};
use crate::ca::{Assurance, IssuedLeaf, LeafSubject, Serial};
use crate::registry::{
    Admission, CertificateRecord, Claim, Device, Digest, EnrolmentRecord, Severity, admit,
};
use crate::reply::{ErrorReply, RequestId, body_bytes, expect_media_type};
use crate::store::{ChangeOrder, DeviceChange, Enrolment, StoreError};
use crate::tls::Connection;

/// RFC 7030, 4.2.1
pub(super) const REQUEST_TYPE: &str = "application/pkcs10";
/// How long certificates before a new one stay good: time to switch over, also through a crash.
const OVERLAP: Duration = Duration::hours(24);
/// When a device that waits for approval asks again, seconds.
const APPROVAL_POLL: u32 = 60;

pub(super) async fn simpleenroll(
    State(est): State<Est>,
    id: RequestId,
    Extension(connection): Extension<Arc<Connection<Session>>>,
    request: Request,
) -> Result<Response, ErrorReply> {
    let now = est.app.now();
    expect_media_type(request.headers(), REQUEST_TYPE, &id)?;
    let body = body_bytes(request, &()).await?;
    let csr = decode(&body, &id)?;
    let (open, exporter) = take_challenge(&connection, &id)?;
    let claim = Claim { edge_id: open.challenge.edge_id.clone(), ek_sha256: open.ek_sha256 };
    let attempt = Attempt {
        app: &est.app,
        id: &id,
        source: connection.peer.ip(),
        claim: &claim,
        renewing: None,
        now,
    };
    let candidates = attempt.candidates().await?;
    match enrol(&attempt, &candidates, open, exporter, csr).await {
        Ok(response) => Ok(response),
        Err(refused) => Err(attempt.refuse(&candidates, refused).await),
    }
}

/// The certificate request in a body.
pub(super) fn decode(body: &[u8], id: &RequestId) -> Result<Vec<u8>, ErrorReply> {
    decode_body(body).ok_or_else(|| {
        ErrorReply::malformed("the body is not base64 of a certificate request".to_owned(), id)
    })
}

/// The challenge of this connection, which is used up by that, and the connection's exporter.
pub(super) fn take_challenge(
    connection: &Connection<Session>,
    id: &RequestId,
) -> Result<(OpenChallenge, [u8; 32]), ErrorReply> {
    connection.session.take().zip(connection.exporter).ok_or_else(|| {
        // Without a nonce nothing is known of the device, not even what it calls itself.
        let detail = "ask for a nonce on this connection first".to_owned();
        ErrorReply::new(StatusCode::FORBIDDEN, Reason::NonceUnknown.code(), detail, id)
    })
}

async fn enrol(
    attempt: &Attempt<'_>,
    candidates: &[Device],
    open: OpenChallenge,
    exporter: [u8; 32],
    csr: Vec<u8>,
) -> Result<Response, Refused> {
    // The proof comes first for everybody: who cannot show the TPM learns nothing of its state.
    let admission = admit(attempt.claim, candidates);
    let (expectation, hint) = match &admission {
        Ok(Admission::Enrol(device) | Admission::Wait(device)) => {
            let expectation = Expectation::of_device(attempt.app, device)
                .await
                .map_err(|e| Refused::fault(e.to_string()))?;
            let hint = expectation.hint(device);
            (expectation, hint)
        }
        Err(_) => (Expectation::of_stranger(), None),
    };
    let now = unix(attempt.now);
    let proof = prove(csr, open, exporter, now, expectation).await;
    let proof = match (proof, &admission) {
        (Ok(proof), _) => proof,
        // An attack on a device stays an alert even where the proof fails as well.
        (Err(refused), Err(denial)) if denial.severity == Severity::Alert => {
            return Err(refused.with_context(denial));
        }
        (Err(refused), _) => return Err(refused.with_hint(hint)),
    };
    match admission? {
        Admission::Enrol(device) => issue(attempt, device, proof, None).await,
        Admission::Wait(device) => wait(attempt, device).await,
    }
}

/// What the checks left, with what is kept of the request.
pub(super) struct Proof {
    verdict: EnrolmentVerdict,
    site_sha256: Option<Digest>,
    open: OpenChallenge,
}

/// Checks 4 to 9, off the threads that serve connections.
pub(super) async fn prove(
    csr: Vec<u8>,
    open: OpenChallenge,
    exporter: [u8; 32],
    now: u64,
    expectation: Expectation,
) -> Result<Proof, Refused> {
    let work = move || {
        let site = expectation.site_of(&csr);
        let context = EnrolmentContext {
            challenge: Some(&open.challenge),
            tls_exporter: &exporter,
            pairing_code: &[],
            now,
            boot: expectation.boot(site),
        };
        let verdict = check_enrolment(&csr, &context)?;
        Ok(Proof { verdict, site_sha256: site_sha256(site), open })
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(Refused::fault(e.to_string())))
}

/// Issues a certificate for the proven key and records it; `renews` is the one that was shown.
pub(super) async fn issue(
    attempt: &Attempt<'_>,
    device: &Device,
    proof: Proof,
    renews: Option<&Serial>,
) -> Result<Response, Refused> {
    let subject = LeafSubject {
        device_id: device.id,
        edge_id: &device.edge_id,
        tenant: device.tenant.as_str(),
    };
    let authority = attempt.app.authority();
    let leaf = authority
        .issue_leaf(subject, proof.verdict.csr.spki(), Assurance::Attested, attempt.now)
        .map_err(|e| Refused::fault(e.to_string()))?;
    let enrolment = enrolment(attempt, device, &proof, &leaf, renews);
    let what = if renews.is_some() { "renewed" } else { "enrolled" };
    let mut event = attempt.event(
        Some(device),
        what,
        format!("certificate {} until {}", leaf.serial, leaf.not_after.date()),
    );
    if let Some(deviation) = &enrolment.record.deviation {
        event.severity = Severity::Warning;
        event.detail = format!("{}; not as expected: {deviation}", event.detail);
    }
    let audit = attempt.operation(Some(device)).done();
    match attempt.app.store.enrol(enrolment, event, audit).await {
        Ok(device) => {
            tracing::info!(
                request_id = attempt.id.0,
                device_id = %device.id,
                edge_id = device.edge_id,
                serial = %leaf.serial,
                "certificate issued: {what}"
            );
            Ok(certificates(&authority.enrolment_answer(&leaf.der)))
        }
        Err(StoreError::Denied(denial)) => Err((*denial).into()),
        Err(error) => Err(Refused::fault(error.to_string())),
    }
}

fn enrolment(
    attempt: &Attempt<'_>,
    device: &Device,
    proof: &Proof,
    leaf: &IssuedLeaf,
    renews: Option<&Serial>,
) -> Enrolment {
    let verdict = &proof.verdict;
    let boot = &verdict.boot;
    let spki_sha256 = Digest(verdict.csr.spki_sha256());
    let deviation = boot.deviations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let record = EnrolmentRecord {
        device_id: device.id,
        at: attempt.now,
        request_id: attempt.id.0.clone(),
        source: attempt.source.to_string(),
        certificate_serial: leaf.serial.clone(),
        spki_sha256,
        pcrs: boot.pcr_values.iter().map(|v| (u32::from(v.index), Digest(v.digest))).collect(),
        release: boot
            .release
            .as_ref()
            .map(|known| format!("{} ({}), {}", known.version, known.profile, known.phase)),
        site_sha256: proof.site_sha256,
        deviation: (!deviation.is_empty()).then_some(deviation),
        // It was decoded from DER; encoding it again cannot fail but for the type.
        evidence: verdict.evidence.to_attribute_value_der().unwrap_or_default(),
        ak_public: proof.open.challenge.ak.marshal(),
        ek_certificates: proof.open.ek_certificates.clone(),
    };
    let certificate = CertificateRecord {
        serial: leaf.serial.clone(),
        device_id: device.id,
        spki_sha256,
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        attested: true,
        accepted_until: None,
        revoked_at: None,
    };
    Enrolment {
        claim: attempt.claim.clone(),
        record,
        certificate,
        der: leaf.der.to_vec(),
        renews: renews.cloned(),
        overlap_ends: attempt.now + OVERLAP,
    }
}

/// RFC 7030, 4.2.3: the device asks again later, from the nonce on, with the same key.
async fn wait(attempt: &Attempt<'_>, device: &Device) -> Result<Response, Refused> {
    if device.state != crate::registry::DeviceState::Pending {
        let order = ChangeOrder {
            device_id: device.id,
            change: DeviceChange::AwaitApproval,
            at: attempt.now,
            by: "enrolment".to_owned(),
        };
        let store = &attempt.app.store;
        let audit = attempt.operation(Some(device)).done();
        store.change(order, audit).await.map_err(|e| Refused::fault(e.to_string()))?;
        let detail = format!(
            "the device proved its TPM and waits; run: holdfast-cloud device approve {}",
            device.edge_id
        );
        let event = attempt.event(Some(device), "approval-wanted", detail);
        store.record_event(event, None).await.map_err(|e| Refused::fault(e.to_string()))?;
    }
    let detail = "an operator must approve this device".to_owned();
    let code = Reason::ApprovalPending.code();
    Ok(ErrorReply::new(StatusCode::ACCEPTED, code, detail, attempt.id)
        .retry_after(APPROVAL_POLL)
        .into_response())
}
