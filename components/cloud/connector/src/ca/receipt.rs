//! Receipts: statements of the server about a log, signed by a key to which the issuing CA has
//! delegated this alone.

use holdfast_audit_log::{RECEIPT_TYPE, Receipt};
use holdfast_jws::UnsignedEnvelope;
use time::{Duration, OffsetDateTime};

use super::delegate::Task;
use super::{Authority, CaError, profile};

const TASK: Task = Task {
    what: "the signer of receipts",
    profile: profile::receipt_signer,
    renew_before: Duration::days(10),
};

impl Authority {
    /// Signs a receipt.
    pub fn sign_receipt(&self, receipt: &Receipt, now: OffsetDateTime) -> Result<String, CaError> {
        let signer = self.signing_delegate(self.receipt_signer(), &TASK, now)?;
        let unsigned = UnsignedEnvelope::new(RECEIPT_TYPE, &signer.chain, receipt);
        let unsigned = unsigned.map_err(|e| TASK.failed(&e))?;
        let signature = signer.sign(&TASK, unsigned.signing_input())?;
        Ok(unsigned.sign(&signature))
    }
}
