//! Whether a certificate still holds, as third parties are told by revocation lists and OCSP.

use std::str::FromStr;

use time::OffsetDateTime;

use super::{DeviceState, WordError};

/// Why a certificate does not hold any more (RFC 5280, 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// It was not recorded.
    Unspecified,
    /// Another certificate took its place.
    Superseded,
    /// The device left the fleet.
    CessationOfOperation,
    /// The device is suspended; the certificate may come to hold again.
    CertificateHold,
    /// An operator shut the device out.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    const ALL: [Self; 5] = [
        Self::Unspecified,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
    ];

    /// The name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::CertificateHold => "certificate-hold",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }
}

impl FromStr for RevocationReason {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| WordError::new(text, "the reasons of RFC 5280, 5.3.1"))
    }
}

/// Since when, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revocation {
    /// Since when it does not hold.
    pub at: OffsetDateTime,
    /// Why.
    pub reason: RevocationReason,
}

/// What the registry knows of a certificate that decides whether it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateStanding {
    /// An operator's act ended it.
    pub revoked: Option<Revocation>,
    /// Where a newer certificate took over: the end of this one's overlap.
    pub accepted_until: Option<OffsetDateTime>,
    /// State of its device.
    pub device_state: DeviceState,
    /// When that last changed.
    pub device_changed_at: OffsetDateTime,
}

impl CertificateStanding {
    /// The revocation in force, if any. Expiry is no revocation.
    pub fn revocation(&self, now: OffsetDateTime) -> Option<Revocation> {
        let of_state = |reason| Some(Revocation { at: self.device_changed_at, reason });
        if self.revoked.is_some() {
            return self.revoked;
        }
        if let Some(at) = self.accepted_until.filter(|until| *until <= now) {
            return Some(Revocation { at, reason: RevocationReason::Superseded });
        }
        match self.device_state {
            DeviceState::Suspended => of_state(RevocationReason::CertificateHold),
            // Their certificates are revoked with them; this holds even if that was missed.
            DeviceState::Revoked => of_state(RevocationReason::PrivilegeWithdrawn),
            DeviceState::Retired => of_state(RevocationReason::CessationOfOperation),
            DeviceState::Registered
            | DeviceState::Pending
            | DeviceState::Enrolled
            | DeviceState::Active => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    #[test]
    fn what_ends_a_certificate() {
        use RevocationReason::{
            CertificateHold, CessationOfOperation, PrivilegeWithdrawn, Superseded,
        };
        let now = from_unix(1000);
        let changed = from_unix(500);
        let withdrawn = Revocation { at: from_unix(700), reason: PrivilegeWithdrawn };
        let because = |at, reason| Some(Revocation { at: from_unix(at), reason });
        let table = [
            // revoked, accepted until, state, expected
            (None, None, DeviceState::Active, None),
            (None, None, DeviceState::Enrolled, None),
            (None, None, DeviceState::Registered, None),
            (None, Some(1001), DeviceState::Active, None),
            (None, Some(1000), DeviceState::Active, because(1000, Superseded)),
            (None, Some(900), DeviceState::Active, because(900, Superseded)),
            (None, None, DeviceState::Suspended, because(500, CertificateHold)),
            (None, Some(1001), DeviceState::Suspended, because(500, CertificateHold)),
            // For good before for a while: a list must not promise that it may come back.
            (None, Some(900), DeviceState::Suspended, because(900, Superseded)),
            (Some(withdrawn), Some(900), DeviceState::Suspended, Some(withdrawn)),
            (Some(withdrawn), None, DeviceState::Revoked, Some(withdrawn)),
            (None, None, DeviceState::Revoked, because(500, PrivilegeWithdrawn)),
            (None, None, DeviceState::Retired, because(500, CessationOfOperation)),
        ];
        for (revoked, accepted_until, device_state, expected) in table {
            let standing = CertificateStanding {
                revoked,
                accepted_until: accepted_until.map(from_unix),
                device_state,
                device_changed_at: changed,
            };
            assert_eq!(standing.revocation(now), expected, "{standing:?}");
        }
    }

    #[test]
    fn names_read_back() {
        for reason in RevocationReason::ALL {
            assert_eq!(reason.as_str().parse::<RevocationReason>().unwrap(), reason);
        }
        assert!("because".parse::<RevocationReason>().is_err());
    }
}
