//! A message code that only this device, booted in this way, can make.

use holdfast_attestation::pcr::SECURE_BOOT_PCR;
use sha2::{Digest as _, Sha256};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::structures::MaxBuffer;

use crate::{BootPolicy, Tpm, TpmError, template};

const HMAC_KEY: &str = "boot-bound HMAC key";

impl Tpm {
    /// HMAC-SHA256 over the SHA-256 of `message`, under a key of this TPM that exists only for the
    /// present value of PCR 7 and is usable only while PCR 11 is signed by the PCR key.
    ///
    /// A foreign system, or this one booted with other Secure Boot keys, cannot compute it.
    pub fn boot_bound_hmac(
        &self,
        policy: &BootPolicy,
        message: &[u8],
    ) -> Result<[u8; 32], TpmError> {
        self.while_pcrs_settle(|| self.boot_bound_hmac_once(policy, message))
    }

    fn boot_bound_hmac_once(
        &self,
        policy: &BootPolicy,
        message: &[u8],
    ) -> Result<[u8; 32], TpmError> {
        const OPERATION: &str = "HMAC";
        let secure_boot = self.pcr_read(&[SECURE_BOOT_PCR])?;
        let digest = policy.authorized().and_pcrs(&secure_boot);
        let session = self.boot_session(policy)?;
        self.policy_pcr(&session, SECURE_BOOT_PCR)?;
        let template = template::boot_bound_hmac(&digest.0);
        let key = self.create_primary(Hierarchy::Owner, HMAC_KEY, template)?;
        let code = self.run_with((Some(session.auth()), None), OPERATION, HMAC_KEY, |tpm| {
            let message = MaxBuffer::try_from(Sha256::digest(message).to_vec())?;
            tpm.hmac(key.handle().into(), message, HashingAlgorithm::Sha256)
        })?;
        code.value().try_into().map_err(|_| {
            let detail = format!("{} bytes returned, expected 32", code.value().len());
            TpmError::check(OPERATION, HMAC_KEY, detail)
        })
    }
}
