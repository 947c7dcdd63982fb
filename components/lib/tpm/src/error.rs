//! What can go wrong with a TPM operation.

use tss_esapi::Error as TssError;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;

/// A failed TPM operation; names the operation and what it acted on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TpmError {
    /// The TPM could not be reached.
    #[error("cannot open the TPM at {tcti}: {source}; is the TPM enabled in the firmware?")]
    Open {
        /// The TCTI string that was tried.
        tcti: String,
        /// What the TSS reported.
        source: TssError,
    },
    /// The TPM has no free slot for an object or session (`TPM_RC_OBJECT_MEMORY`,
    /// `TPM_RC_SESSION_MEMORY`).
    #[error(
        "{operation} on {object}: the TPM has no free {slot} slot; use a resource manager \
         (device:/dev/tpmrm0), or let another program on the raw TPM finish"
    )]
    OutOfSlots {
        /// The operation that failed.
        operation: &'static str,
        /// The object it acted on.
        object: String,
        /// `object` or `session`.
        slot: &'static str,
    },
    /// The TPM or the TSS refused a command.
    #[error("{operation} on {object}: {source}")]
    Command {
        /// The operation that failed.
        operation: &'static str,
        /// The object it acted on.
        object: String,
        /// The response code.
        source: TssError,
    },
    /// Bytes from outside (a file, the network) or from the TPM do not have the expected form.
    #[error("malformed {what}: {detail}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// No signed boot policy matches the current PCR values.
    #[error(
        "PCR 11 is {pcr11}, for which the signature file has no entry of PCR key {key_fingerprint}: \
         this operating system, or this boot phase, was not signed with that key"
    )]
    BootNotSigned {
        /// Current value, hexadecimal.
        pcr11: String,
        /// SHA-256 of the PCR key, hexadecimal, as systemd writes it in `pkfp`.
        key_fingerprint: String,
    },
    /// The TPM pads RSA-PSS signatures in a way that TLS 1.3 does not take.
    #[error(
        "the TPM's RSA-PSS signatures have not the salt length that TLS 1.3 needs; \
         do not force the signature mode tpm-pss on this device"
    )]
    UnsuitablePss,
    /// The TPM's answer fails a check made in software.
    #[error("{operation} on {object}: {detail}")]
    Check {
        /// The operation whose answer was checked.
        operation: &'static str,
        /// The object it acted on.
        object: String,
        /// Which check failed.
        detail: String,
    },
}

impl TpmError {
    pub(crate) fn command(operation: &'static str, object: &str, source: TssError) -> Self {
        let slot = match response_kind(source) {
            Some(Kind::ObjectMemory | Kind::ObjectHandles) => Some("object"),
            Some(Kind::SessionMemory | Kind::SessionHandles) => Some("session"),
            _ => None,
        };
        let object = object.to_owned();
        match slot {
            Some(slot) => Self::OutOfSlots { operation, object, slot },
            None => Self::Command { operation, object, source },
        }
    }

    /// Whether a PCR was extended between a session's check of PCRs and its use.
    pub(crate) fn pcrs_changed(&self) -> bool {
        matches!(self, Self::Command { source, .. } if response_kind(*source) == Some(Kind::PcrChanged))
    }

    #[allow(clippy::needless_pass_by_value)] // callers pass literals and errors
    pub(crate) fn malformed(what: &'static str, detail: impl ToString) -> Self {
        Self::Malformed { what, detail: detail.to_string() }
    }

    #[allow(clippy::needless_pass_by_value)]
    pub(crate) fn check(operation: &'static str, object: &str, detail: impl ToString) -> Self {
        Self::Check { operation, object: object.to_owned(), detail: detail.to_string() }
    }
}

fn response_kind(error: TssError) -> Option<Kind> {
    match error {
        TssError::Tss2Error(code) => code.kind(),
        TssError::WrapperError(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tss_esapi::constants::response_code::Tss2ResponseCode;

    #[test]
    fn names_the_exhausted_slot() {
        for (code, slot) in [(0x902, "object"), (0x903, "session")] {
            let source = TssError::Tss2Error(Tss2ResponseCode::from(code));
            let text = TpmError::command("Load", "device key", source).to_string();
            assert!(text.contains(&format!("no free {slot} slot")), "{text}");
            assert!(text.contains("Load on device key"), "{text}");
        }
    }

    #[test]
    fn names_operation_object_and_code() {
        let source = TssError::Tss2Error(Tss2ResponseCode::from(0x18b));
        let error = TpmError::command("ReadPublic", "handle 0x81010001", source);
        let text = error.to_string();
        assert!(text.starts_with("ReadPublic on handle 0x81010001: "), "{text}");
        assert!(matches!(error, TpmError::Command { .. }), "{error:?}");
    }
}
