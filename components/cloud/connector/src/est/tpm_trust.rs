//! Check 2: what makes a TPM the one that a registration means.

use holdfast_attestation::refusal::Reason;
use holdfast_attestation::verify::{CheckFailure, EkTrust, check_ek_certificates};

use super::refusal::Refused;
use super::session::OpenChallenge;
use crate::app::App;
use crate::registry::{Binding, Device, Digest, ProvenTpm, RegistrationSecret};

/// How a device's TPM is to be proven.
pub(super) struct TpmTrust {
    is_bound: bool,
    binding: Binding,
    /// Allowed CAs of TPM makers, DER.
    cas: Vec<Vec<u8>>,
    /// Part of the evidence's binding until the device is active.
    pairing_code: Option<[u8; 16]>,
}

impl TpmTrust {
    /// For a device that may enrol.
    pub(super) async fn of_device(app: &App, device: &Device) -> Result<Self, Refused> {
        let fault = |e: crate::store::StoreError| Refused::fault(e.to_string());
        let is_bound = device.ek_sha256.is_some();
        let cas = match (device.binding, is_bound) {
            (Binding::EkCa | Binding::PairingCode, false) => {
                let cas = app.store.ek_cas(Some(device.tenant.clone())).await.map_err(fault)?;
                cas.into_iter().map(|ca| ca.der).collect()
            }
            _ => Vec::new(),
        };
        let pairing_code = match device.binding {
            Binding::PairingCode => {
                match app.store.registration_secret(device.id).await.map_err(fault)? {
                    Some(RegistrationSecret::PairingCode(code)) => Some(code),
                    _ => None,
                }
            }
            Binding::EkSha256 | Binding::EkCa | Binding::PlainEst => None,
        };
        Ok(Self { is_bound, binding: device.binding, cas, pairing_code })
    }

    /// For one that will be refused whatever its TPM is.
    pub(super) fn of_stranger() -> Self {
        let binding = Binding::EkSha256;
        Self { is_bound: true, binding, cas: Vec::new(), pairing_code: None }
    }

    /// The pairing code as it goes into the binding.
    pub(super) fn pairing_code(&self) -> &[u8] {
        self.pairing_code.as_ref().map_or(&[], |code| code.as_slice())
    }

    /// Whether the TPM may be bound or is.
    pub(super) fn prove(&self, open: &OpenChallenge, now: u64) -> Result<ProvenTpm, CheckFailure> {
        let ek_sha256 = open.ek_sha256;
        let proven = |is_unproven| ProvenTpm { ek_sha256, is_unproven };
        if self.is_bound {
            return Ok(proven(false));
        }
        let vouched = self.vouched(ek_sha256, open, now);
        match self.binding {
            // With the code in the binding, check 6 proves that it is the device that was meant.
            Binding::PairingCode => Ok(proven(vouched.is_err())),
            Binding::EkSha256 | Binding::EkCa | Binding::PlainEst => {
                vouched.map(|()| proven(false))
            }
        }
    }

    fn vouched(
        &self,
        ek_sha256: Digest,
        open: &OpenChallenge,
        now: u64,
    ) -> Result<(), CheckFailure> {
        let trust = EkTrust::Ca(&self.cas);
        check_ek_certificates(&ek_sha256.0, &open.ek_certificates, &trust, now).map(|_| ())
    }

    /// Whether a failure leaves it proven that the caller has what the registration asks for, so
    /// that he may hear about it.
    pub(super) fn is_proven_before(&self, failed: &CheckFailure) -> bool {
        match self.binding {
            // Check 2 held, or nothing else would be told.
            Binding::EkCa => true,
            // Evidence that cannot be read is refused under number 7 before 6 is made.
            Binding::PairingCode => failed.number >= 8 && self.pairing_code.is_some(),
            Binding::EkSha256 | Binding::PlainEst => false,
        }
    }

    /// A registration by pairing code whose code is gone lets no new TPM in.
    pub(super) fn refuse_without_code(&self) -> Result<(), Refused> {
        if self.binding != Binding::PairingCode || self.is_bound || self.pairing_code.is_some() {
            return Ok(());
        }
        let detail = "the pairing code of this registration is gone; register it anew";
        Err(Refused::denied(Reason::RegistrationExpired, detail))
    }
}
