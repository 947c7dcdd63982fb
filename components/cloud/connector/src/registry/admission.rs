//! Check 10 of an enrolment: may this TPM have a certificate under this Edge ID?

use holdfast_attestation::edge_id::EdgeId;
use holdfast_attestation::refusal::Reason;
use uuid::Uuid;

use super::{Approval, Device, DeviceState, Digest, Severity, Tenant};

/// What an enrolling device says that it is; the TPM is proven, the Edge ID is not.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The name.
    pub edge_id: EdgeId,
    /// The TPM.
    pub ek_sha256: Digest,
}

/// A device that may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission<'a> {
    /// It may have a certificate.
    Enrol(&'a Device),
    /// An operator must approve first.
    Wait(&'a Device),
}

/// Why a claim is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Stable code.
    pub code: &'static str,
    /// Whether the TPM is the registered one and may be told the code.
    pub is_registered_tpm: bool,
    /// The device of the registry that is concerned.
    pub device_id: Option<Uuid>,
    /// Its tenant.
    pub tenant: Option<Tenant>,
    /// How much it matters.
    pub severity: Severity,
    /// What happened and what the operator can do.
    pub detail: String,
}

/// Decides on a claim. `candidates` are all devices, retired ones too, that have the claim's Edge
/// ID or its TPM.
pub fn admit<'a>(claim: &Claim, candidates: &'a [Device]) -> Result<Admission<'a>, Denial> {
    let has_tpm = |device: &&Device| device.ek_sha256 == claim.ek_sha256;
    let has_name = |device: &&Device| device.edge_id == claim.edge_id.as_str();
    let is_live = |device: &&Device| device.state != DeviceState::Retired;

    let edge_id = &claim.edge_id;
    if let Some(device) = candidates.iter().filter(is_live).find(has_tpm) {
        if has_name(&device) {
            return admit_registered(device);
        }
        return Err(Denial::of(
            device,
            Reason::EkBoundElsewhere.code(),
            true,
            format!(
                "this TPM is registered under Edge ID {}, but the device calls itself {edge_id}; \
             correct the registration or the device's Edge ID source",
                device.edge_id,
            ),
        ));
    }
    if let Some(device) = candidates.iter().filter(is_live).find(has_name) {
        return Err(Denial {
            severity: Severity::Alert,
            ..Denial::of(
                device,
                Reason::EdgeIdBoundElsewhere.code(),
                false,
                format!(
                    "another TPM ({}) asked for a certificate under Edge ID {edge_id}, which belongs \
                 to the TPM {}; if the hardware was replaced, run: holdfast-cloud device rebind \
                 {edge_id} --ek-sha256 {}",
                    claim.ek_sha256, device.ek_sha256, claim.ek_sha256,
                ),
            )
        });
    }
    if let Some(device) = candidates.iter().filter(has_name).find(has_tpm) {
        return Err(Denial::of(
            device,
            Reason::Retired.code(),
            true,
            "this device was retired; register it again to use it".to_owned(),
        ));
    }
    Err(Denial {
        code: Reason::NotRegistered.code(),
        is_registered_tpm: false,
        device_id: None,
        tenant: None,
        severity: Severity::Warning,
        detail: format!(
            "nothing is registered under Edge ID {edge_id}; if the device is yours, run: \
             holdfast-cloud device register {edge_id} --ek-sha256 {}",
            claim.ek_sha256
        ),
    })
}

fn admit_registered(device: &Device) -> Result<Admission<'_>, Denial> {
    match device.state {
        DeviceState::Registered if device.approval == Approval::Manual => {
            Ok(Admission::Wait(device))
        }
        DeviceState::Pending => Ok(Admission::Wait(device)),
        DeviceState::Registered | DeviceState::Enrolled | DeviceState::Active => {
            Ok(Admission::Enrol(device))
        }
        DeviceState::Suspended => Err(Denial::of(
            device,
            Reason::Suspended.code(),
            true,
            "this device is suspended; an operator can resume it".to_owned(),
        )),
        DeviceState::Revoked => Err(Denial::of(
            device,
            Reason::Revoked.code(),
            true,
            "this device was revoked; an operator can bind its Edge ID to a TPM anew".to_owned(),
        )),
        DeviceState::Retired => Err(Denial::of(
            device,
            Reason::Retired.code(),
            true,
            "this device was retired; register it again to use it".to_owned(),
        )),
    }
}

impl Denial {
    pub(super) fn of(
        device: &Device,
        code: &'static str,
        is_registered_tpm: bool,
        detail: String,
    ) -> Self {
        Self {
            code,
            is_registered_tpm,
            device_id: Some(device.id),
            tenant: Some(device.tenant.clone()),
            severity: Severity::Warning,
            detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::device;

    const OURS: Digest = Digest([1; 32]);
    const OTHER: Digest = Digest([2; 32]);

    fn claim() -> Claim {
        Claim { edge_id: EdgeId::parse("SN-1").unwrap(), ek_sha256: OURS }
    }

    #[test]
    fn the_registered_tpm_hears_what_its_state_means() {
        use DeviceState::{Active, Enrolled, Pending, Registered, Retired, Revoked, Suspended};
        for (state, expected) in [
            (Registered, Ok(true)),
            (Enrolled, Ok(true)),
            (Active, Ok(true)),
            (Pending, Ok(false)),
            (Suspended, Err("suspended")),
            (Revoked, Err("revoked")),
            (Retired, Err("retired")),
        ] {
            let candidates = [device("SN-1", OURS, state)];
            let outcome = match admit(&claim(), &candidates) {
                Ok(Admission::Enrol(_)) => Ok(true),
                Ok(Admission::Wait(_)) => Ok(false),
                Err(denial) => {
                    assert!(denial.is_registered_tpm, "{state}");
                    Err(denial.code)
                }
            };
            assert_eq!(outcome, expected, "{state}");
        }
    }

    #[test]
    fn manual_approval_makes_a_new_device_wait() {
        let mut new = device("SN-1", OURS, DeviceState::Registered);
        new.approval = Approval::Manual;
        assert_eq!(admit(&claim(), &[new.clone()]), Ok(Admission::Wait(&new)));
    }

    #[test]
    fn a_second_tpm_for_an_edge_id_is_an_alert_and_is_told_nothing() {
        for state in [DeviceState::Registered, DeviceState::Active, DeviceState::Suspended] {
            let denial = admit(&claim(), &[device("SN-1", OTHER, state)]).unwrap_err();
            assert_eq!(denial.code, "edge-id-bound-elsewhere");
            assert!(!denial.is_registered_tpm);
            assert_eq!(denial.severity, Severity::Alert);
            assert_eq!(denial.device_id, Some(Uuid::from_u128(7)));
        }
    }

    #[test]
    fn a_registered_tpm_under_another_name() {
        let candidates = [device("SN-2", OURS, DeviceState::Active)];
        let denial = admit(&claim(), &candidates).unwrap_err();
        assert_eq!((denial.code, denial.is_registered_tpm), ("ek-bound-elsewhere", true));
    }

    #[test]
    fn strangers_and_names_that_were_retired() {
        assert_eq!(admit(&claim(), &[]).unwrap_err().code, "not-registered");
        let retired = [device("SN-1", OTHER, DeviceState::Retired)];
        let denial = admit(&claim(), &retired).unwrap_err();
        assert_eq!((denial.code, denial.is_registered_tpm), ("not-registered", false));
    }

    #[test]
    fn a_new_registration_outlives_the_retired_one() {
        let candidates = [
            device("SN-1", OURS, DeviceState::Retired),
            device("SN-1", OURS, DeviceState::Registered),
        ];
        assert_eq!(admit(&claim(), &candidates), Ok(Admission::Enrol(&candidates[1])));
    }
}
