//! Check 10 of an enrolment: may this TPM have a certificate under this Edge ID?

use holdfast_attestation::edge_id::EdgeId;
use holdfast_attestation::refusal::Reason;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Approval, Binding, Device, DeviceState, Digest, Severity, Tenant};

/// What an enrolling device says that it is; the TPM is proven, the Edge ID is not.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The name.
    pub edge_id: EdgeId,
    /// The TPM; none: a client without one.
    pub ek_sha256: Option<Digest>,
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
/// ID or its TPM. A device to which no TPM is bound yet is admitted by its name: the caller must
/// then hold the TPM against the registration's binding.
pub fn admit<'a>(
    claim: &Claim,
    candidates: &'a [Device],
    now: OffsetDateTime,
) -> Result<Admission<'a>, Denial> {
    let has_tpm =
        |device: &&Device| claim.ek_sha256.is_some() && device.ek_sha256 == claim.ek_sha256;
    let has_name = |device: &&Device| device.edge_id == claim.edge_id.as_str();
    let is_live = |device: &&Device| device.state != DeviceState::Retired;

    let edge_id = &claim.edge_id;
    if let Some(device) = candidates.iter().filter(is_live).find(has_tpm) {
        if has_name(&device) {
            return admit_registered(device, true, now);
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
        if device.ek_sha256.is_none() {
            return admit_unbound(claim, device, now);
        }
        if claim.ek_sha256.is_none() {
            return Err(evidence_needed(device));
        }
        return Err(Denial {
            severity: Severity::Alert,
            ..Denial::of(
                device,
                Reason::EdgeIdBoundElsewhere.code(),
                false,
                format!(
                    "another TPM ({0}) asked for a certificate under Edge ID {edge_id}, which belongs \
                 to the {1}; if the hardware was replaced, run: holdfast-cloud device rebind \
                 {edge_id} --ek-sha256 {0}",
                    ek(claim.ek_sha256),
                    tpm(device.ek_sha256),
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
            ek(claim.ek_sha256)
        ),
    })
}

/// A registration that waits for its first TPM, or for a client without one.
fn admit_unbound<'a>(
    claim: &Claim,
    device: &'a Device,
    now: OffsetDateTime,
) -> Result<Admission<'a>, Denial> {
    match (device.binding, claim.ek_sha256) {
        (Binding::PlainEst, Some(_)) => Err(Denial::of(
            device,
            Reason::PlainEstOnly.code(),
            false,
            "this Edge ID is registered for a client without a TPM; to bind it to one, run: \
             holdfast-cloud device rebind"
                .to_owned(),
        )),
        (Binding::EkSha256 | Binding::EkCa | Binding::PairingCode, None) => {
            Err(evidence_needed(device))
        }
        _ => admit_registered(device, false, now),
    }
}

fn evidence_needed(device: &Device) -> Denial {
    let detail = "a client without a TPM asked for a certificate; this Edge ID was not registered \
                  with --plain-est";
    Denial::of(device, Reason::EvidenceNeeded.code(), false, detail.to_owned())
}

fn ek(ek_sha256: Option<Digest>) -> String {
    ek_sha256.map_or_else(|| "HASH".to_owned(), |digest| digest.to_string())
}

/// A TPM, or that there is none, in words.
pub(super) fn tpm(ek_sha256: Option<Digest>) -> String {
    ek_sha256.map_or_else(|| "no TPM".to_owned(), |digest| format!("TPM {digest}"))
}

fn admit_registered(
    device: &Device,
    is_registered_tpm: bool,
    now: OffsetDateTime,
) -> Result<Admission<'_>, Denial> {
    let is_new = matches!(device.state, DeviceState::Registered | DeviceState::Pending);
    if is_new && device.not_after.is_some_and(|end| end <= now) {
        let detail = "the registration's time to enrol is over; retire it and register again";
        let code = Reason::RegistrationExpired.code();
        return Err(Denial::of(device, code, is_registered_tpm, detail.to_owned()));
    }
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
            is_registered_tpm,
            "this device is suspended; an operator can resume it".to_owned(),
        )),
        DeviceState::Revoked => Err(Denial::of(
            device,
            Reason::Revoked.code(),
            is_registered_tpm,
            "this device was revoked; an operator can bind its Edge ID to a TPM anew".to_owned(),
        )),
        DeviceState::Retired => Err(Denial::of(
            device,
            Reason::Retired.code(),
            is_registered_tpm,
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
    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const OTHER: Digest = Digest([2; 32]);

    fn claim() -> Claim {
        Claim { edge_id: EdgeId::parse("SN-1").unwrap(), ek_sha256: Some(OURS) }
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
            let outcome = match admit(&claim(), &candidates, NOW) {
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
        assert_eq!(admit(&claim(), &[new.clone()], NOW), Ok(Admission::Wait(&new)));
    }

    #[test]
    fn a_second_tpm_for_an_edge_id_is_an_alert_and_is_told_nothing() {
        for state in [DeviceState::Registered, DeviceState::Active, DeviceState::Suspended] {
            let denial = admit(&claim(), &[device("SN-1", OTHER, state)], NOW).unwrap_err();
            assert_eq!(denial.code, "edge-id-bound-elsewhere");
            assert!(!denial.is_registered_tpm);
            assert_eq!(denial.severity, Severity::Alert);
            assert_eq!(denial.device_id, Some(Uuid::from_u128(7)));
        }
    }

    #[test]
    fn a_registered_tpm_under_another_name() {
        let candidates = [device("SN-2", OURS, DeviceState::Active)];
        let denial = admit(&claim(), &candidates, NOW).unwrap_err();
        assert_eq!((denial.code, denial.is_registered_tpm), ("ek-bound-elsewhere", true));
    }

    #[test]
    fn strangers_and_names_that_were_retired() {
        assert_eq!(admit(&claim(), &[], NOW).unwrap_err().code, "not-registered");
        let retired = [device("SN-1", OTHER, DeviceState::Retired)];
        let denial = admit(&claim(), &retired, NOW).unwrap_err();
        assert_eq!((denial.code, denial.is_registered_tpm), ("not-registered", false));
    }

    #[test]
    fn a_new_registration_outlives_the_retired_one() {
        let candidates = [
            device("SN-1", OURS, DeviceState::Retired),
            device("SN-1", OURS, DeviceState::Registered),
        ];
        assert_eq!(admit(&claim(), &candidates, NOW), Ok(Admission::Enrol(&candidates[1])));
    }

    #[test]
    fn a_registration_without_a_tpm_is_found_by_its_name() {
        let bound_to = |binding, ek_sha256| Device {
            binding,
            ek_sha256,
            ..device("SN-1", OURS, DeviceState::Registered)
        };
        let plain = Claim { ek_sha256: None, ..claim() };
        for (claim, binding, ek_sha256, expected) in [
            (claim(), Binding::EkCa, None, Ok(())),
            (claim(), Binding::EkCa, Some(OTHER), Err("edge-id-bound-elsewhere")),
            (claim(), Binding::PairingCode, None, Ok(())),
            (claim(), Binding::PlainEst, None, Err("plain-est-only")),
            (plain.clone(), Binding::PlainEst, None, Ok(())),
            (plain.clone(), Binding::EkCa, None, Err("evidence-needed")),
            (plain.clone(), Binding::EkSha256, Some(OURS), Err("evidence-needed")),
        ] {
            let candidates = [bound_to(binding, ek_sha256)];
            let outcome = admit(&claim, &candidates, NOW).map(|_| ()).map_err(|denial| denial.code);
            assert_eq!(outcome, expected, "{binding:?} {ek_sha256:?} {:?}", claim.ek_sha256);
        }
    }

    #[test]
    fn a_registration_ends_for_who_has_not_enrolled() {
        for (state, expected) in [
            (DeviceState::Registered, Some("registration-expired")),
            (DeviceState::Pending, Some("registration-expired")),
            (DeviceState::Enrolled, None),
            (DeviceState::Active, None),
        ] {
            let ended = Device { not_after: Some(NOW), ..device("SN-1", OURS, state) };
            let outcome = admit(&claim(), &[ended], NOW).map(|_| ()).err();
            assert_eq!(outcome.map(|denial| denial.code), expected, "{state}");
        }
    }
}
