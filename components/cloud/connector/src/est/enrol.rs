//! `POST /.well-known/est/simpleenroll`: checks 4 to 10, and the certificate.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use holdfast_attestation::csr::{CertificateRequest, decode_body};
use holdfast_attestation::refusal::Reason;
use holdfast_attestation::verify::{EnrolmentContext, EnrolmentVerdict, check_enrolment};
use http::StatusCode;
use time::Duration;

use super::cacerts::certificates;
use super::expectation::{Expectation, site_sha256};
use super::nonce::unix;
use super::refusal::{Attempt, Refused};
use super::session::OpenChallenge;
use super::tpm_trust::TpmTrust;
use super::{Est, Session, plain};
use crate::ca::{Assurance, IssuedLeaf, LeafSubject, Serial};
use crate::registry::{
    Admission, CertificateRecord, Claim, Device, DeviceState, Digest, EnrolmentRecord, ProvenTpm,
    Severity, admit,
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
    let headers = request.headers().clone();
    let body = body_bytes(request, &()).await?;
    let csr = decode(&body, &id)?;
    let Some((open, exporter)) = take_challenge(&connection) else {
        return plain::enrol(&est, &id, connection.peer.ip(), &headers, csr).await;
    };
    let claim = Claim { edge_id: open.challenge.edge_id.clone(), ek_sha256: Some(open.ek_sha256) };
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
) -> Option<(OpenChallenge, [u8; 32])> {
    connection.session.take().zip(connection.exporter)
}

/// Without a nonce nothing is known of the device, not even what it calls itself.
pub(super) fn nonce_unknown(id: &RequestId) -> ErrorReply {
    let detail = "ask for a nonce on this connection first".to_owned();
    ErrorReply::new(StatusCode::FORBIDDEN, Reason::NonceUnknown.code(), detail, id)
}

async fn enrol(
    attempt: &Attempt<'_>,
    candidates: &[Device],
    open: OpenChallenge,
    exporter: [u8; 32],
    csr: Vec<u8>,
) -> Result<Response, Refused> {
    // The proof comes first for everybody: who cannot show the TPM learns nothing of its state.
    let admission = admit(attempt.claim, candidates, attempt.now);
    let (expectation, hint, trust) = match &admission {
        Ok(Admission::Enrol(device) | Admission::Wait(device)) => {
            let expectation = Expectation::of_device(attempt.app, device)
                .await
                .map_err(|e| Refused::fault(e.to_string()))?;
            let hint = expectation.hint(device);
            (expectation, hint, TpmTrust::of_device(attempt.app, device).await?)
        }
        Err(_) => (Expectation::of_stranger(), None, TpmTrust::of_stranger()),
    };
    let now = unix(attempt.now);
    trust.refuse_without_code()?;
    let proof = prove(csr, open, exporter, now, Judges { expectation, trust }).await;
    let proof = match (proof, &admission) {
        (Ok(proof), _) => proof,
        // An attack on a device stays an alert even where the proof fails as well.
        (Err(refused), Err(denial)) if denial.severity == Severity::Alert => {
            return Err(refused.with_context(denial));
        }
        // Without a TPM that is bound there was nothing to hold the proof against.
        (Err(_), Err(denial))
            if denial.code == Reason::RegistrationExpired.code() && !denial.is_registered_tpm =>
        {
            return Err(denial.clone().into());
        }
        (Err(refused), _) => return Err(refused.with_hint(hint)),
    };
    match admission? {
        Admission::Enrol(device) => issue(attempt, device, Shown::Attested(proof), None).await,
        Admission::Wait(device) => wait(attempt, device, Some(proof.tpm)).await,
    }
}

/// What the checks left, with what is kept of the request.
pub(super) struct Proof {
    verdict: EnrolmentVerdict,
    site_sha256: Option<Digest>,
    open: OpenChallenge,
    tpm: ProvenTpm,
}

/// What the evidence is held against.
pub(super) struct Judges {
    pub(super) expectation: Expectation,
    pub(super) trust: TpmTrust,
}

/// What stands behind a certificate.
pub(super) enum Shown {
    /// A TPM's evidence.
    Attested(Box<Proof>),
    /// Possession of the key.
    Plain(CertificateRequest),
}

impl Shown {
    fn request(&self) -> &CertificateRequest {
        match self {
            Self::Attested(proof) => &proof.verdict.csr,
            Self::Plain(request) => request,
        }
    }

    fn assurance(&self) -> Assurance {
        match self {
            Self::Attested(_) => Assurance::Attested,
            Self::Plain(_) => Assurance::NotAttested,
        }
    }
}

/// Checks 2 and 4 to 9, off the threads that serve connections.
pub(super) async fn prove(
    csr: Vec<u8>,
    open: OpenChallenge,
    exporter: [u8; 32],
    now: u64,
    judges: Judges,
) -> Result<Box<Proof>, Refused> {
    let work = move || {
        let Judges { expectation, trust } = judges;
        let tpm = trust.prove(&open, now);
        let site = expectation.site_of(&csr);
        let context = EnrolmentContext {
            challenge: Some(&open.challenge),
            tls_exporter: &exporter,
            pairing_code: trust.pairing_code(),
            now,
            boot: expectation.boot(site),
        };
        let verdict = check_enrolment(&csr, &context);
        let edge_id = open.challenge.edge_id.as_str();
        let tpm = tpm.map_err(|failed| Refused::foreign_tpm(failed, edge_id, open.ek_sha256))?;
        let verdict = verdict.map_err(|failed| {
            let is_told = trust.is_proven_before(&failed);
            let refused = Refused::from(failed);
            if is_told { refused.told() } else { refused }
        })?;
        Ok(Box::new(Proof { verdict, site_sha256: site_sha256(site), open, tpm }))
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(Refused::fault(e.to_string())))
}

/// Issues a certificate for the proven key and records it; `renews` is the one that was shown.
pub(super) async fn issue(
    attempt: &Attempt<'_>,
    device: &Device,
    shown: Shown,
    renews: Option<&Serial>,
) -> Result<Response, Refused> {
    let subject = LeafSubject {
        device_id: device.id,
        edge_id: &device.edge_id,
        tenant: device.tenant.as_str(),
    };
    let authority = attempt.app.authority();
    let leaf = authority
        .issue_leaf(subject, shown.request().spki(), shown.assurance(), attempt.now)
        .map_err(|e| Refused::fault(e.to_string()))?;
    let enrolment = enrolment(attempt, device, &shown, &leaf, renews);
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
    shown: &Shown,
    leaf: &IssuedLeaf,
    renews: Option<&Serial>,
) -> Enrolment {
    let spki_sha256 = Digest(shown.request().spki_sha256());
    let mut record = EnrolmentRecord {
        device_id: device.id,
        at: attempt.now,
        request_id: attempt.id.0.clone(),
        source: attempt.source.to_string(),
        certificate_serial: leaf.serial.clone(),
        spki_sha256,
        pcrs: Vec::new(),
        release: None,
        site_sha256: None,
        deviation: None,
        evidence: Vec::new(),
        ak_public: Vec::new(),
        ek_certificates: Vec::new(),
    };
    let mut tpm = None;
    if let Shown::Attested(proof) = shown {
        tpm = Some(proof.tpm);
        note_evidence(&mut record, proof);
    }
    let certificate = CertificateRecord {
        serial: leaf.serial.clone(),
        device_id: device.id,
        spki_sha256,
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        attested: matches!(shown, Shown::Attested(_)),
        accepted_until: None,
        revoked_at: None,
    };
    Enrolment {
        claim: attempt.claim.clone(),
        tpm,
        record,
        certificate,
        der: leaf.der.to_vec(),
        renews: renews.cloned(),
        overlap_ends: attempt.now + OVERLAP,
    }
}

fn note_evidence(record: &mut EnrolmentRecord, proof: &Proof) {
    let verdict = &proof.verdict;
    let boot = &verdict.boot;
    let deviation = boot.deviations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    record.pcrs = boot.pcr_values.iter().map(|v| (u32::from(v.index), Digest(v.digest))).collect();
    record.release = boot
        .release
        .as_ref()
        .map(|known| format!("{} ({}), {}", known.version, known.profile, known.phase));
    record.site_sha256 = proof.site_sha256;
    record.deviation = (!deviation.is_empty()).then_some(deviation);
    // It was decoded from DER; encoding it again cannot fail but for the type.
    record.evidence = verdict.evidence.to_attribute_value_der().unwrap_or_default();
    record.ak_public = proof.open.challenge.ak.marshal();
    record.ek_certificates.clone_from(&proof.open.ek_certificates);
}

/// RFC 7030, 4.2.3: the device asks again later, from the nonce on, with the same key.
pub(super) async fn wait(
    attempt: &Attempt<'_>,
    device: &Device,
    tpm: Option<ProvenTpm>,
) -> Result<Response, Refused> {
    let is_bound = tpm.is_none() || device.ek_sha256.is_some();
    if device.state != DeviceState::Pending || !is_bound {
        let order = ChangeOrder {
            device_id: device.id,
            change: DeviceChange::AwaitApproval(tpm),
            at: attempt.now,
            by: "enrolment".to_owned(),
        };
        let store = &attempt.app.store;
        let audit = attempt.operation(Some(device)).done();
        store.change(order, audit).await.map_err(|e| Refused::fault(e.to_string()))?;
        let detail = format!(
            "the device proved {} and waits; run: holdfast-cloud device approve {}",
            tpm.map_or_else(
                || "its enrolment secret".to_owned(),
                |tpm| format!("the TPM {}", tpm.ek_sha256)
            ),
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
