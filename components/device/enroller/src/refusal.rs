//! What a server's refusal means for the people who look after the device.

use std::time::Duration;

use holdfast_attestation::refusal::{Reason, Refusal};
use http::StatusCode;

use crate::peer::Answer;
use crate::state::{Event, Problem};

/// Longest text of a server that is shown.
const LONGEST_TEXT: usize = 300;

/// Refusals of a certificate, as opposed to refusals of the device, begin like this.
const ABOUT_CERTIFICATE: &str = "certificate-";
/// The attestation key is not that of the last enrolment.
const AK_CHANGED: &str = "ak-changed";

/// An answer that is not the one hoped for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: String,
    /// Under which the operator finds the server's reason; empty if the server gave none.
    pub request_id: String,
    /// The server's words.
    pub detail: Option<String>,
    /// The server's wish for the next attempt.
    pub retry_after: Option<Duration>,
}

impl Rejection {
    /// Reads an answer, whether or not its body is a refusal in the agreed form.
    pub fn from_answer(answer: &Answer) -> Self {
        let status = answer.status.as_u16();
        let retry_after = answer.retry_after;
        match serde_json::from_slice::<Refusal>(&answer.body) {
            Ok(refusal) => Self {
                status,
                code: word(&refusal.code),
                request_id: word(&refusal.request_id),
                detail: refusal.detail.map(|detail| line(&detail)),
                retry_after,
            },
            Err(_) => Self {
                status,
                code: match answer.status {
                    // RFC 7030, 4.2.3: come back later, with the same request.
                    StatusCode::ACCEPTED => Reason::ApprovalPending.code().to_owned(),
                    _ => format!("http-{status}"),
                },
                request_id: String::new(),
                detail: None,
                retry_after,
            },
        }
    }

    /// Whether the server refused the certificate that was shown, as opposed to the device.
    pub fn is_about_certificate(&self) -> bool {
        self.code.starts_with(ABOUT_CERTIFICATE)
    }

    /// Whether an operator has yet to say yes or no.
    pub fn waits_for_approval(&self) -> bool {
        Reason::from_code(&self.code) == Some(Reason::ApprovalPending)
    }

    /// Whether a renewal that was refused may succeed as an enrolment: the certificate or the
    /// attestation key is not the one that the server knows, or it has no renewals.
    pub fn may_enrol_instead(&self) -> bool {
        self.is_about_certificate()
            || self.code == AK_CHANGED
            || self.status == StatusCode::NOT_FOUND.as_u16()
    }

    /// The event for the state machine.
    pub fn into_event(self) -> Event {
        let problem = self.problem();
        let reason = Reason::from_code(&self.code);
        let retry_after = self.retry_after;
        if reason == Some(Reason::ApprovalPending) {
            return Event::ApprovalPending { problem, retry_after };
        }
        let busy = self.status >= 500 || self.status == StatusCode::TOO_MANY_REQUESTS.as_u16();
        if busy || matches!(reason, Some(Reason::RateLimited | Reason::ServerError)) {
            return Event::Unreachable { problem, retry_after };
        }
        Event::Refused { problem, retry_after }
    }

    fn problem(&self) -> Problem {
        Problem::new(self.code.clone(), self.message())
    }

    /// For people: what the server said, and what to do next.
    pub fn message(&self) -> String {
        let verb = if self.status == StatusCode::ACCEPTED.as_u16() { "waits" } else { "refused" };
        let mut text = format!("the server {verb}: {}", self.code);
        if let Some(detail) = &self.detail {
            text.push_str(" (");
            text.push_str(detail);
            text.push(')');
        }
        if !self.request_id.is_empty() {
            text.push_str(", request ");
            text.push_str(&self.request_id);
        }
        text.push_str("; ");
        text.push_str(advice(Reason::from_code(&self.code)));
        text
    }
}

/// What to do about a refusal.
const fn advice(reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::NotAccepted | Reason::NotRegistered) => {
            "register this device's Edge ID and EK hash, or see what the connector's events say \
             under the request id"
        }
        Some(Reason::EkCertificateMismatch) => {
            "the TPM holds a certificate of another key; register the device by its EK hash"
        }
        Some(Reason::EkNotTrusted) => {
            "register the device by its EK hash, or allow the TPM manufacturer's CA"
        }
        Some(Reason::ReleaseUnknown) => {
            "publish this release's measurement to the connector, or boot a published release"
        }
        Some(Reason::CommandLineAdded) => {
            "remove what was added to the kernel's command line or to the boot partition"
        }
        Some(Reason::SiteMismatch) => {
            "put the site configuration that the connector made onto the boot partition"
        }
        Some(Reason::SecureBootChanged) => {
            "restore the Secure Boot keys and firmware settings of the first enrolment, or let the \
             operator rebind the device"
        }
        Some(Reason::RegistrationExpired) => "register the device again",
        Some(Reason::ApprovalPending) => "approve the device at the connector",
        Some(Reason::ApprovalRejected) => {
            "an operator rejected this device; approve it at the connector if that was a mistake"
        }
        Some(Reason::Suspended) => "resume the device at the connector",
        Some(Reason::Retired) => "register the device again if it is to be used",
        Some(Reason::PlainEstOnly | Reason::EvidenceNeeded | Reason::EnrolmentSecretWrong) => {
            "register the device again, by its TPM"
        }
        Some(Reason::Revoked) => {
            "rebind the device at the connector, or retire it and register anew"
        }
        Some(
            Reason::CertificateNeeded
            | Reason::CertificateUnknown
            | Reason::CertificateRevoked
            | Reason::CertificateSuperseded
            | Reason::CertificateOtherDevice
            | Reason::AkChanged,
        ) => "the device enrols again by itself",
        Some(Reason::EkBoundElsewhere) => {
            "this TPM enrolled under another Edge ID; retire that device or restore its serial \
             number"
        }
        Some(Reason::EdgeIdBoundElsewhere) => {
            "another TPM enrolled under this Edge ID; if the board was exchanged, let the operator \
             rebind the device"
        }
        Some(Reason::RateLimited | Reason::ServerError) => "the device tries again by itself",
        Some(Reason::NonceUnknown | Reason::NonceExpired | Reason::NonceUsed) => {
            "the device tries again by itself; if this persists the TPM is too slow for the nonce's \
             life"
        }
        Some(Reason::NonceOtherConnection | Reason::BindingMismatch) => {
            "take TLS-terminating proxies out of the way to the enrolment port"
        }
        Some(
            Reason::MalformedRequest
            | Reason::AkAttributes
            | Reason::CsrSignature
            | Reason::EvidenceInvalid
            | Reason::EvidenceSignature
            | Reason::DeviceKeyName
            | Reason::DeviceKeyMismatch
            | Reason::DeviceKeyAttributes
            | Reason::QuoteSelection
            | Reason::QuoteDigest,
        ) => "the versions of device and connector may not fit; update both",
        None => "see the connector's events",
    }
}

/// Text from outside on one line of bounded length.
fn line(text: &str) -> String {
    text.chars()
        .take(LONGEST_TEXT)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

/// Text from outside as a single word: it goes into `key=value` lines.
fn word(text: &str) -> String {
    text.chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || "-_.:".contains(c) { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str, retry_after: Option<u64>) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            media_type: "application/json".into(),
            retry_after: retry_after.map(Duration::from_secs),
            body: body.to_owned().into(),
        }
    }

    fn body(code: &str) -> String {
        let refusal = Refusal { code: code.into(), request_id: "r-17".into(), detail: None };
        serde_json::to_string(&refusal).unwrap()
    }

    #[test]
    fn answers_become_events() {
        let kind = |event: &Event| match event {
            Event::Refused { problem, .. } => ("refused", problem.code.clone()),
            Event::ApprovalPending { problem, .. } => ("approval", problem.code.clone()),
            Event::Unreachable { problem, .. } => ("busy", problem.code.clone()),
            other => panic!("{other:?}"),
        };
        let table = [
            (403, body("not-accepted"), "refused", "not-accepted"),
            (403, body("suspended"), "refused", "suspended"),
            (403, body("a-code-of-tomorrow"), "refused", "a-code-of-tomorrow"),
            (403, body("approval-pending"), "approval", "approval-pending"),
            (429, body("rate-limited"), "busy", "rate-limited"),
            (500, body("server-error"), "busy", "server-error"),
            (502, "<html>bad gateway".into(), "busy", "http-502"),
            (404, String::new(), "refused", "http-404"),
            (202, String::new(), "approval", "approval-pending"),
            (202, body("approval-pending"), "approval", "approval-pending"),
        ];
        for (status, body, expected, code) in table {
            let event = Rejection::from_answer(&answer(status, &body, Some(9))).into_event();
            assert_eq!(kind(&event), (expected, code.to_owned()), "{status} {body}");
        }
    }

    #[test]
    fn a_refused_renewal_goes_on_as_an_enrolment_where_that_can_help() {
        let table = [
            (403, "certificate-superseded", true, true),
            (403, "certificate-unknown", true, true),
            (403, "ak-changed", false, true),
            (404, "not-found", false, true),
            (403, "suspended", false, false),
            (403, "release-unknown", false, false),
            (500, "server-error", false, false),
        ];
        for (status, code, about_certificate, instead) in table {
            let rejection = Rejection::from_answer(&answer(status, &body(code), None));
            assert_eq!(rejection.is_about_certificate(), about_certificate, "{code}");
            assert_eq!(rejection.may_enrol_instead(), instead, "{code}");
        }
    }

    #[test]
    fn problems_say_what_to_do() {
        let rejection = Rejection::from_answer(&answer(403, &body("suspended"), None));
        let problem = rejection.problem();
        assert_eq!(
            problem.message,
            "the server refused: suspended, request r-17; resume the device at the connector"
        );
    }

    #[test]
    fn every_reason_has_advice() {
        for &reason in Reason::ALL {
            assert_ne!(advice(Some(reason)), advice(None), "{reason}");
        }
    }

    #[test]
    fn a_servers_text_cannot_forge_lines() {
        let text =
            r#"{"error":{"code":"a b\nholdfast: active","request_id":"x\ty","detail":"1\n2"}}"#;
        let rejection = Rejection::from_answer(&answer(403, text, None));
        assert_eq!(rejection.code, "a?b?holdfast:?active");
        assert_eq!(rejection.request_id, "x?y");
        assert_eq!(rejection.detail.as_deref(), Some("1 2"));
    }
}
