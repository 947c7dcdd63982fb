//! Policies for devices, signed by a key to which the issuing CA has delegated this alone.

use holdfast_policy_document::{Policy, Unsigned};
use time::{Duration, OffsetDateTime};

use super::delegate::Task;
use super::{Authority, CaError, profile};

const TASK: Task = Task {
    what: "the signer of policies",
    profile: profile::policy_signer,
    renew_before: Duration::days(10),
};

impl Authority {
    /// Signs a policy of a device.
    pub fn sign_policy(&self, policy: &Policy, now: OffsetDateTime) -> Result<String, CaError> {
        let signer = self.signing_delegate(self.policy_signer(), &TASK, now)?;
        let unsigned = Unsigned::new(policy, &signer.chain).map_err(|e| TASK.failed(&e))?;
        let signature = signer.sign(&TASK, unsigned.signing_input())?;
        Ok(unsigned.sign(&signature))
    }
}
