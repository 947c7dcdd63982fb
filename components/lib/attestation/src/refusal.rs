//! Why a request was refused, in words that programs can rely on.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $code:literal,)*) => {
        /// A reason for a refusal. The codes are stable: operators and devices match on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }
        }
    };
}

reasons! {
    /// What everybody hears whose EK is not that of the registration.
    NotAccepted => "not-accepted",
    /// The request cannot be parsed.
    MalformedRequest => "malformed-request",
    /// Too many requests from this place or of this EK.
    RateLimited => "rate-limited",
    /// The server has a fault of its own.
    ServerError => "server-error",

    /// Check 1: the EK's public area is not the key of its certificate.
    EkCertificateMismatch => "ek-certificate-mismatch",
    /// Check 2: the EK is neither registered nor certified by an allowed CA.
    EkNotTrusted => "ek-not-trusted",
    /// Check 3: the AK is not a restricted signing key that is fixed to its TPM.
    AkAttributes => "ak-attributes",
    /// Check 4: the certificate request is not signed with its own key.
    CsrSignature => "csr-signature",
    /// Check 5: no nonce was given out for this key.
    NonceUnknown => "nonce-unknown",
    /// Check 5: the nonce is too old.
    NonceExpired => "nonce-expired",
    /// Check 5: the nonce was used before.
    NonceUsed => "nonce-used",
    /// Check 5: the nonce was given out on another connection.
    NonceOtherConnection => "nonce-other-connection",
    /// Check 6: the evidence was not made for this nonce, key, Edge ID, connection and secret.
    BindingMismatch => "binding-mismatch",
    /// Check 7: the evidence is missing or not a structure that a TPM makes.
    EvidenceInvalid => "evidence-invalid",
    /// Check 7: the evidence is not signed by the AK.
    EvidenceSignature => "evidence-signature",
    /// Check 8: the certified object is not the one whose public area was sent.
    DeviceKeyName => "device-key-name",
    /// Check 8: the certified key is not the key of the certificate request.
    DeviceKeyMismatch => "device-key-mismatch",
    /// Check 8: the device key could leave the TPM, or was not made in it.
    DeviceKeyAttributes => "device-key-attributes",
    /// Check 9: the quote is not over the PCRs that were asked for.
    QuoteSelection => "quote-selection",
    /// Check 9: the PCR values sent are not those that the TPM quoted.
    QuoteDigest => "quote-digest",
    /// Check 9: no published release has this value of PCR 11.
    ReleaseUnknown => "release-unknown",
    /// Check 9: something was added to the kernel's command line (PCR 12).
    CommandLineAdded => "command-line-added",
    /// Check 9: the device booted with another site configuration (PCR 14).
    SiteMismatch => "site-mismatch",
    /// Check 9: the Secure Boot state is not the recorded one (PCR 7).
    SecureBootChanged => "secure-boot-changed",
    /// Check 10: no device is registered under this Edge ID.
    NotRegistered => "not-registered",
    /// Check 10: the registration is no longer valid.
    RegistrationExpired => "registration-expired",
    /// Check 10: an operator must approve first.
    ApprovalPending => "approval-pending",
    /// Check 10: an operator rejected the device.
    ApprovalRejected => "approval-rejected",
    /// Check 10: the device is suspended.
    Suspended => "suspended",
    /// Check 10: the device is retired.
    Retired => "retired",
    /// Check 10: the registration is for clients without a TPM.
    PlainEstOnly => "plain-est-only",
    /// Check 10: the registration asks for a TPM's evidence.
    EvidenceNeeded => "evidence-needed",
    /// Check 10: the enrolment secret is wrong or was used.
    EnrolmentSecretWrong => "enrolment-secret-wrong",
    /// Check 10: the device is revoked.
    Revoked => "revoked",
    /// Check 10: this EK belongs to another Edge ID.
    EkBoundElsewhere => "ek-bound-elsewhere",
    /// Check 10: this Edge ID belongs to another EK.
    EdgeIdBoundElsewhere => "edge-id-bound-elsewhere",
    /// Renewal: no client certificate was shown.
    CertificateNeeded => "certificate-needed",
    /// The certificate is not in the registry.
    CertificateUnknown => "certificate-unknown",
    /// The certificate is revoked.
    CertificateRevoked => "certificate-revoked",
    /// The certificate expired, or the overlap with the next one is over.
    CertificateSuperseded => "certificate-superseded",
    /// Renewal: the certificate is of another device than the evidence.
    CertificateOtherDevice => "certificate-other-device",
    /// Renewal: the AK is not the one of the enrolment.
    AkChanged => "ak-changed",
}

impl Reason {
    /// The reason with this code, if this version knows it.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.code())
    }
}

/// A refusal as it is sent: `{"error":{"code":…,"request_id":…,"detail":…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Envelope", into = "Envelope")]
pub struct Refusal {
    /// Code of the reason; a newer server may send codes that [`Reason`] does not know.
    pub code: String,
    /// Under which the operator finds the detail.
    pub request_id: String,
    /// What is wrong and what to do, for a device that may know.
    pub detail: Option<String>,
}

impl Refusal {
    /// A refusal for this reason.
    pub fn new(reason: Reason, request_id: String, detail: Option<String>) -> Self {
        Self { code: reason.code().to_owned(), request_id, detail }
    }

    /// The reason, if this version knows it.
    pub fn reason(&self) -> Option<Reason> {
        Reason::from_code(&self.code)
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    error: Body,
}

#[derive(Serialize, Deserialize)]
struct Body {
    code: String,
    request_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl From<Envelope> for Refusal {
    fn from(Envelope { error: Body { code, request_id, detail } }: Envelope) -> Self {
        Self { code, request_id, detail }
    }
}

impl From<Refusal> for Envelope {
    fn from(Refusal { code, request_id, detail }: Refusal) -> Self {
        Self { error: Body { code, request_id, detail } }
    }
}
