//! The TPM's own clock and count of starts.

use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{AttestInfo, Data, SignatureScheme};

use crate::{Tpm, TpmError, template};

/// `TPMS_CLOCK_INFO` (TPM 2.0 Part 2, 10.11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Milliseconds that the TPM was powered since it was cleared.
    pub clock_ms: u64,
    /// Starts that lost the state (`TPM2_Startup(CLEAR)`).
    pub reset_count: u32,
    /// Starts that kept it, and resumes, since the last that lost it.
    pub restart_count: u32,
    /// Whether no larger clock was ever told.
    pub is_safe: bool,
}

impl Tpm {
    /// Reads the clock, by `TPM2_GetTime` with a key of the endorsement hierarchy: for keys of the
    /// owner the TPM blurs its counts (TPM 2.0 Part 1, 36.7).
    pub fn clock(&self) -> Result<Clock, TpmError> {
        const OPERATION: &str = "GetTime";
        const LABEL: &str = "clock";
        let key = self.create_primary(Hierarchy::Endorsement, LABEL, template::ak())?;
        let sessions = (Some(AuthSession::Password), Some(AuthSession::Password));
        let (attest, _) = self.run_with(sessions, OPERATION, LABEL, |tpm| {
            tpm.get_time(key.handle(), Data::default(), SignatureScheme::Null)
        })?;
        if !matches!(attest.attested(), AttestInfo::Time { .. }) {
            return Err(TpmError::check(OPERATION, LABEL, "the answer is not about time"));
        }
        let info = attest.clock_info();
        Ok(Clock {
            clock_ms: info.clock(),
            reset_count: info.reset_count(),
            restart_count: info.restart_count(),
            is_safe: info.safe(),
        })
    }
}
