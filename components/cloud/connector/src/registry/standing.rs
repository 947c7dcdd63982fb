//! What a certificate that a device shows still counts for.

use holdfast_attestation::refusal::Reason;
use time::OffsetDateTime;

use super::admission::tpm;
use super::{CertificateRecord, Claim, Denial, Device, Severity};

/// Why a certificate opens nothing. Its holder has shown the key, so that he may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotInForce {
    /// Stable code.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub detail: String,
}

/// Whether a device may act with a certificate.
pub fn in_force(
    device: &Device,
    certificate: &CertificateRecord,
    now: OffsetDateTime,
) -> Result<(), NotInForce> {
    if !device.state.may_connect() {
        let detail = format!("this device is {}", device.state);
        return Err(NotInForce { code: device.state.as_str(), detail });
    }
    if certificate.is_accepted(now) {
        return Ok(());
    }
    if certificate.revoked_at.is_some() {
        let detail = "this certificate is revoked; enrol again".to_owned();
        return Err(NotInForce { code: Reason::CertificateRevoked.code(), detail });
    }
    let detail = "a newer certificate took this one's place, or it expired; enrol again";
    Err(NotInForce { code: Reason::CertificateSuperseded.code(), detail: detail.to_owned() })
}

/// A device that asks for its next certificate with the one it has.
#[derive(Clone, Copy, Debug)]
pub struct Renewal<'a> {
    /// What it says that it is; the TPM is proven.
    pub claim: &'a Claim,
    /// `TPMT_PUBLIC` of the AK that signs its evidence.
    pub ak_public: &'a [u8],
    /// `TPMT_PUBLIC` of the AK of its last enrolment.
    pub recorded_ak: Option<&'a [u8]>,
    /// The certificate that it showed.
    pub certificate: &'a CertificateRecord,
    /// The device of that certificate.
    pub device: &'a Device,
}

/// Check 10 of a renewal: the certificate is in force and belongs to the device that the evidence
/// is about, and the AK is the one that the device enrolled with.
pub fn admit_renewal(renewal: &Renewal<'_>, now: OffsetDateTime) -> Result<(), Denial> {
    let Renewal { claim, ak_public, recorded_ak, certificate, device } = *renewal;
    in_force(device, certificate, now)
        .map_err(|NotInForce { code, detail }| Denial::of(device, code, true, detail))?;
    if device.edge_id != claim.edge_id.as_str() || device.ek_sha256 != claim.ek_sha256 {
        let detail = format!(
            "the certificate is of Edge ID {} and {}, the evidence of Edge ID {} and {}",
            device.edge_id,
            tpm(device.ek_sha256),
            claim.edge_id,
            tpm(claim.ek_sha256)
        );
        let code = Reason::CertificateOtherDevice.code();
        return Err(Denial { severity: Severity::Alert, ..Denial::of(device, code, true, detail) });
    }
    if recorded_ak != Some(ak_public) {
        let detail = "the AK is not the one that the device enrolled with; enrol again with \
                      simpleenroll";
        return Err(Denial::of(device, Reason::AkChanged.code(), true, detail.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;
    use crate::registry::{DeviceState, Digest};
    use time::Duration;

    const NOW: i64 = 1_800_000_000;

    fn device(state: DeviceState) -> Device {
        crate::registry::tests::device("SN-1", Digest([1; 32]), state)
    }

    fn certificate() -> CertificateRecord {
        CertificateRecord {
            serial: "01".parse().unwrap(),
            device_id: uuid::Uuid::from_u128(7),
            spki_sha256: Digest([3; 32]),
            not_before: from_unix(NOW - 1000),
            not_after: from_unix(NOW + 1000),
            attested: true,
            accepted_until: None,
            revoked_at: None,
        }
    }

    fn code(device: &Device, certificate: &CertificateRecord) -> Option<&'static str> {
        in_force(device, certificate, from_unix(NOW)).err().map(|refused| refused.code)
    }

    #[test]
    fn what_a_certificate_counts_for() {
        use DeviceState::{Active, Enrolled, Pending, Registered, Retired, Revoked, Suspended};
        for state in [Enrolled, Active] {
            assert_eq!(code(&device(state), &certificate()), None, "{state}");
        }
        for state in [Registered, Pending, Suspended, Revoked, Retired] {
            assert_eq!(code(&device(state), &certificate()), Some(state.as_str()));
        }
        let now = from_unix(NOW);
        let active = device(Active);
        let second = Duration::seconds(1);
        for (accepted_until, not_after, revoked_at, expected) in [
            (Some(now + second), now + second, None, None),
            (Some(now), now + second, None, Some("certificate-superseded")),
            (None, now, None, Some("certificate-superseded")),
            (None, now + second, Some(now - second), Some("certificate-revoked")),
        ] {
            let shown =
                CertificateRecord { not_after, accepted_until, revoked_at, ..certificate() };
            assert_eq!(code(&active, &shown), expected, "{shown:?}");
        }
    }

    #[test]
    fn a_renewal_is_of_one_device_with_one_ak() {
        let (device, certificate) = (device(DeviceState::Active), certificate());
        let claim = |edge_id: &str, ek| Claim {
            edge_id: edge_id.parse().unwrap(),
            ek_sha256: Some(Digest([ek; 32])),
        };
        for (claim, recorded_ak, expected) in [
            (claim("SN-1", 1), Some(b"ak".as_slice()), Ok(())),
            (claim("SN-2", 1), Some(b"ak"), Err(("certificate-other-device", Severity::Alert))),
            (claim("SN-1", 2), Some(b"ak"), Err(("certificate-other-device", Severity::Alert))),
            (claim("SN-1", 1), Some(b"another"), Err(("ak-changed", Severity::Warning))),
            (claim("SN-1", 1), None, Err(("ak-changed", Severity::Warning))),
        ] {
            let renewal = Renewal {
                claim: &claim,
                ak_public: b"ak",
                recorded_ak,
                certificate: &certificate,
                device: &device,
            };
            let admitted = admit_renewal(&renewal, from_unix(NOW));
            assert_eq!(admitted.map_err(|denial| (denial.code, denial.severity)), expected);
        }
    }
}
