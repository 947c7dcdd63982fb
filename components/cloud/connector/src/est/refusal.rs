//! Refusing an enrolment: the operator sees why; the device hears it only if its TPM is the
//! registered one, so that nobody can find out which Edge IDs exist.

use std::net::IpAddr;

use holdfast_attestation::refusal::Reason;
use holdfast_attestation::verify::CheckFailure;
use holdfast_audit_log::{Actor, Text};
use http::StatusCode;
use time::OffsetDateTime;

use crate::app::App;
use crate::audit::{Act, Operation};
use crate::registry::{Claim, Denial, Device, DeviceState, Digest, NewEvent, Severity};
use crate::reply::{ErrorReply, RequestId};

/// One request of a device that wants a certificate.
pub(super) struct Attempt<'a> {
    pub(super) app: &'a App,
    pub(super) id: &'a RequestId,
    pub(super) source: IpAddr,
    pub(super) claim: &'a Claim,
    /// The device whose certificate was shown, where one is to be renewed.
    pub(super) renewing: Option<&'a Device>,
    pub(super) now: OffsetDateTime,
}

/// Why an attempt is refused.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    code: &'static str,
    severity: Severity,
    detail: String,
    kind: Kind,
    /// Whether the caller proved what the registration asks for, beyond being bound to it.
    is_told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The device is at fault or not welcome.
    Refusal,
    /// The request is.
    Malformed,
    /// The server is.
    Fault,
}

impl Refused {
    /// A request whose fault is plain to see.
    pub(super) fn malformed(detail: String) -> Self {
        let code = Reason::MalformedRequest.code();
        Self { code, severity: Severity::Warning, detail, kind: Kind::Malformed, is_told: false }
    }

    /// A fault of the server.
    pub(super) fn fault(detail: String) -> Self {
        let code = Reason::ServerError.code();
        Self { code, severity: Severity::Warning, detail, kind: Kind::Fault, is_told: false }
    }

    /// Adds what the operator can do.
    #[must_use]
    pub(super) fn with_hint(mut self, hint: Option<String>) -> Self {
        if let (true, Some(hint)) = (self.code == Reason::SiteMismatch.code(), hint) {
            self.detail = format!("{}; {hint}", self.detail);
        }
        self
    }

    /// Adds that the claim would have been denied all the same.
    #[must_use]
    pub(super) fn with_context(self, denial: &Denial) -> Self {
        let detail = format!("{}; check 10: {}", self.detail, denial.detail);
        Self { severity: denial.severity, detail, ..self }
    }

    /// A registration that does not let the caller in.
    pub(super) fn denied(reason: Reason, detail: &str) -> Self {
        let detail = format!("check 10: {detail}");
        let severity = Severity::Warning;
        Self { code: reason.code(), severity, detail, kind: Kind::Refusal, is_told: false }
    }

    /// A certificate that no longer counts.
    pub(super) fn not_in_force(code: &'static str, detail: &str) -> Self {
        Self { code, ..Self::denied(Reason::CertificateRevoked, detail) }
    }

    /// The caller may know the code: he proved what the registration asks for.
    #[must_use]
    pub(super) fn told(self) -> Self {
        Self { is_told: true, ..self }
    }

    /// Check 2 failed: somebody used the name of a registration with a TPM that it does not allow.
    #[must_use]
    pub(super) fn foreign_tpm(failure: CheckFailure, edge_id: &str, ek_sha256: Digest) -> Self {
        let refused = Self::from(failure);
        let detail = format!(
            "{}; if the TPM {ek_sha256} is the right one, run: holdfast-cloud ek-ca add with its \
             maker's CA, or holdfast-cloud device rebind {edge_id} --ek-sha256 {ek_sha256}",
            refused.detail
        );
        Self { severity: Severity::Alert, detail, ..refused }
    }

    /// TLS 1.2 has no exporter that could be relied on here.
    pub(super) fn old_tls() -> Self {
        Self::malformed("attested enrolment needs TLS 1.3".to_owned())
    }
}

impl From<CheckFailure> for Refused {
    fn from(failure: CheckFailure) -> Self {
        if failure.reason == Reason::MalformedRequest {
            return Self::malformed(failure.detail);
        }
        Self {
            code: failure.reason.code(),
            severity: Severity::Warning,
            detail: format!("check {}: {}", failure.number, failure.detail),
            kind: Kind::Refusal,
            is_told: false,
        }
    }
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self {
            code: denial.code,
            severity: denial.severity,
            detail: format!("check 10: {}", denial.detail),
            kind: Kind::Refusal,
            is_told: false,
        }
    }
}

impl Attempt<'_> {
    /// The devices that the claim may concern.
    pub(super) async fn candidates(&self) -> Result<Vec<Device>, ErrorReply> {
        self.app
            .store
            .candidates(self.claim.clone())
            .await
            .map_err(|e| ErrorReply::of_store(&e, self.id))
    }

    /// The operation in audit records; the actor is what the device claims to be.
    pub(super) fn operation(&self, concerned: Option<&Device>) -> Operation {
        let edge_id = self.claim.edge_id.as_str();
        let actor = Actor::device(Text::lossy(edge_id));
        let act = if self.renewing.is_some() { Act::Renew } else { Act::Enrol };
        let operation = Operation::new(self.now, actor, act, edge_id).with_arguments(&[
            edge_id.as_bytes(),
            self.claim.ek_sha256.as_ref().map_or(&[], |digest| digest.0.as_slice()),
        ]);
        match concerned {
            Some(device) => operation.with_device(device.id, &device.tenant),
            None => operation,
        }
    }

    /// An event about this attempt.
    pub(super) fn event(&self, concerned: Option<&Device>, kind: &str, detail: String) -> NewEvent {
        NewEvent {
            at: self.now,
            severity: Severity::Info,
            kind: kind.to_owned(),
            code: None,
            tenant: concerned.map(|device| device.tenant.clone()),
            device_id: concerned.map(|device| device.id),
            edge_id: Some(self.claim.edge_id.as_str().to_owned()),
            ek_sha256: self.claim.ek_sha256,
            source: Some(self.source.to_string()),
            request_id: Some(self.id.0.clone()),
            detail,
        }
    }

    /// Records the refusal and makes the answer.
    pub(super) async fn refuse(&self, candidates: &[Device], refused: Refused) -> ErrorReply {
        if refused.kind == Kind::Fault {
            return ErrorReply::internal(&refused.detail, self.id);
        }
        let concerned = self.concerned(candidates);
        let edge_id = self.claim.edge_id.as_str();
        tracing::warn!(
            request_id = self.id.0,
            edge_id,
            ek_sha256 = self.claim.ek_sha256.map(tracing::field::display),
            source = %self.source,
            code = refused.code,
            detail = refused.detail,
            "enrolment refused"
        );
        let kind = if self.renewing.is_some() { "renewal-refused" } else { "enrolment-refused" };
        let event = NewEvent {
            severity: refused.severity,
            code: Some(refused.code.to_owned()),
            ..self.event(concerned, kind, refused.detail.clone())
        };
        // Strangers leave an event, which is kept in bounds; the audit table is for ever.
        let audit = concerned.map(|_| {
            self.operation(concerned).denied(&format!("{}: {}", refused.code, refused.detail))
        });
        if let Err(error) = self.app.store.record_event(event, audit).await {
            return ErrorReply::of_store(&error, self.id);
        }
        self.answer(concerned, refused)
    }

    fn answer(&self, concerned: Option<&Device>, refused: Refused) -> ErrorReply {
        let is_registered_tpm = self.claim.ek_sha256.is_some()
            && concerned.is_some_and(|device| device.ek_sha256 == self.claim.ek_sha256);
        // Who shows a certificate has shown its key: he hears about his own device.
        let is_known = is_registered_tpm || self.renewing.is_some() || refused.is_told;
        if refused.kind == Kind::Malformed {
            return ErrorReply::malformed(refused.detail, self.id);
        }
        if is_known {
            let status = StatusCode::FORBIDDEN;
            return ErrorReply::new(status, refused.code, refused.detail, self.id);
        }
        let code = Reason::NotAccepted.code();
        let detail = "ask the operator, who can look the request id up".to_owned();
        ErrorReply::new(StatusCode::FORBIDDEN, code, detail, self.id)
    }

    /// The device of the registry that an operator would look at: the one whose certificate was
    /// shown, else the one with this TPM, else the one with this name; a live one before a retired
    /// one.
    fn concerned<'d>(&'d self, candidates: &'d [Device]) -> Option<&'d Device> {
        if self.renewing.is_some() {
            return self.renewing;
        }
        candidates.iter().min_by_key(|device| {
            let is_other_tpm = device.ek_sha256 != self.claim.ek_sha256;
            (device.state == DeviceState::Retired, is_other_tpm)
        })
    }
}
