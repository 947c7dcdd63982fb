//! Sessions that satisfy a signed boot policy.

use holdfast_attestation::pcr::KERNEL_PCR;
use sha2::{Digest as _, Sha256};
use tss_esapi::constants::SessionType;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::structures::{Digest, Nonce, PublicKeyRsa, RsaSignature, Signature};

use crate::connection::Session;
use crate::pcr::selection;
use crate::{BootPolicy, Tpm, TpmError, template};

const SIGNER: &str = "PCR public key";
const POLICY_SESSION: &str = "policy session";

/// An extend happens a few dozen times per boot, and takes less time than one attempt.
const ATTEMPTS: usize = 30;

impl Tpm {
    /// Does `work` again where another program extended a PCR under it. Any extend, also of a PCR
    /// that no policy names, makes the TPM refuse the policy sessions that are open
    /// (`TPM_RC_PCR_CHANGED`, TPM 2.0 part 3, section 23.7); while a system starts, the kernel
    /// measures every module it loads.
    pub(crate) fn while_pcrs_settle<T>(
        &self,
        mut work: impl FnMut() -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        for _ in 1..ATTEMPTS {
            let before = self.pcr_value(KERNEL_PCR)?;
            match work() {
                Err(error) if error.pcrs_changed() => {}
                Err(_) if self.pcr_value(KERNEL_PCR)? != before => {}
                result => return result,
            }
        }
        work()
    }

    /// A session that satisfies "whatever the PCR key signed".
    pub(crate) fn boot_session(&self, policy: &BootPolicy) -> Result<Session<'_>, TpmError> {
        let pcr11 = self.pcr_value(KERNEL_PCR)?;
        let approved = policy.matching(pcr11)?;
        let session = {
            let srk = self.srk()?;
            self.session(SessionType::Policy, &srk)?
        };
        self.policy_pcr(&session, KERNEL_PCR)?;

        let signer = template::policy_signer(policy.modulus())
            .map_err(|error| TpmError::command("LoadExternal", SIGNER, error))?;
        let key = self.run("LoadExternal", SIGNER, |tpm| {
            tpm.load_external_public(signer, Hierarchy::Owner)
        })?;
        let key = self.guard(key, SIGNER)?;
        if key.name() != policy.signer() {
            return Err(TpmError::check("LoadExternal", SIGNER, "it got an unexpected Name"));
        }
        let ticket = self.run("VerifySignature", SIGNER, |tpm| {
            let digest = Digest::try_from(Sha256::digest(approved.digest.0).to_vec())?;
            let signature = PublicKeyRsa::try_from(approved.signature.as_slice())?;
            let signature = RsaSignature::create(HashingAlgorithm::Sha256, signature)?;
            tpm.verify_signature(key.handle(), digest, Signature::RsaSsa(signature))
        })?;
        let policy_session = session.policy()?;
        self.run("PolicyAuthorize", POLICY_SESSION, |tpm| {
            let digest = Digest::try_from(approved.digest.0.as_slice())?;
            let name = key.name().as_bytes().to_vec().try_into()?;
            tpm.policy_authorize(policy_session, digest, Nonce::default(), &name, ticket)
        })?;
        Ok(session)
    }

    pub(crate) fn policy_pcr(&self, session: &Session<'_>, index: u8) -> Result<(), TpmError> {
        const OPERATION: &str = "PolicyPCR";
        let selection = selection(OPERATION, &[index])?;
        let policy_session = session.policy()?;
        self.run(OPERATION, POLICY_SESSION, |tpm| {
            tpm.policy_pcr(policy_session, Digest::default(), selection)
        })
    }
}

#[cfg(all(test, feature = "swtpm"))]
mod tests {
    use super::*;
    use crate::swtpm::Swtpm;

    #[test]
    fn an_extend_between_check_and_use_is_tried_again() {
        let swtpm = Swtpm::blank().unwrap();
        let tpm = swtpm.open().unwrap();
        let mut attempts = 0;
        let result = tpm.while_pcrs_settle(|| {
            attempts += 1;
            let session = {
                let srk = tpm.srk()?;
                tpm.session(SessionType::Policy, &srk)?
            };
            tpm.policy_pcr(&session, KERNEL_PCR)?;
            if attempts < 3 {
                tpm.pcr_extend(10, &[7; 32])?;
            }
            tpm.policy_pcr(&session, KERNEL_PCR)
        });
        result.unwrap();
        assert_eq!(attempts, 3);
    }

    #[test]
    fn a_refusal_that_has_nothing_to_do_with_pcrs_is_final() {
        let swtpm = Swtpm::blank().unwrap();
        let tpm = swtpm.open().unwrap();
        let mut attempts = 0;
        let result: Result<(), _> = tpm.while_pcrs_settle(|| {
            attempts += 1;
            Err(TpmError::malformed("test", "always"))
        });
        assert!(result.is_err());
        assert_eq!(attempts, 1);
    }
}
