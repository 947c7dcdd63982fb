//! The life of a device as the cloud sees it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a device is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// Known to the operator, has never enrolled.
    Registered,
    /// Asked for a certificate and waits for an operator's approval.
    Pending,
    /// Has a certificate that it has not used yet.
    Enrolled,
    /// Has shown that it uses its certificate.
    Active,
    /// Shut out until an operator resumes it.
    Suspended,
    /// Shut out for good, still in possession of its hardware and names.
    Revoked,
    /// Gone; its Edge ID and its TPM may be registered again.
    Retired,
}

/// What moves a device from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It asked for a certificate that an operator must approve.
    AwaitApproval,
    /// An operator approved.
    Approve,
    /// A certificate was issued.
    Enrol,
    /// The certificate was used.
    Activate,
    /// An operator shuts the device out for a while.
    Suspend,
    /// An operator lets a suspended device in again; it goes back to `before`.
    Resume {
        /// State before the suspension.
        before: DeviceState,
    },
    /// An operator shuts the device out for good.
    Revoke,
    /// An operator takes the device out of the fleet.
    Retire,
    /// An operator gives the Edge ID to another TPM.
    Rebind,
}

/// A change that is not possible in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a device that is {from} cannot be {}", change.participle())]
pub struct TransitionError {
    /// The present state.
    pub from: DeviceState,
    /// What was asked.
    pub change: Change,
}

impl Change {
    fn participle(self) -> &'static str {
        match self {
            Self::AwaitApproval => "put up for approval",
            Self::Approve => "approved",
            Self::Enrol => "enrolled",
            Self::Activate => "activated",
            Self::Suspend => "suspended",
            Self::Resume { .. } => "resumed",
            Self::Revoke => "revoked",
            Self::Retire => "retired",
            Self::Rebind => "bound to another TPM",
        }
    }
}

impl DeviceState {
    /// Every state, in the order of a device's life.
    pub const ALL: [Self; 7] = [
        Self::Registered,
        Self::Pending,
        Self::Enrolled,
        Self::Active,
        Self::Suspended,
        Self::Revoked,
        Self::Retired,
    ];

    /// The state after a change.
    pub fn after(self, change: Change) -> Result<Self, TransitionError> {
        use DeviceState::{Active, Enrolled, Pending, Registered, Retired, Revoked, Suspended};
        match (self, change) {
            (Registered | Pending, Change::AwaitApproval) => Ok(Pending),
            (Registered | Enrolled, Change::Enrol) => Ok(Enrolled),
            // An active device that enrols again (lost key, expired certificate) stays active:
            // its identity did not change.
            (Active, Change::Enrol) | (Enrolled | Active, Change::Activate) => Ok(Active),
            (Registered | Pending | Enrolled | Active, Change::Suspend) => Ok(Suspended),
            (Suspended, Change::Resume { before }) => Ok(before),
            (Registered | Pending | Enrolled | Active | Suspended, Change::Revoke) => Ok(Revoked),
            (Registered | Pending | Enrolled | Active | Suspended | Revoked, Change::Retire) => {
                Ok(Retired)
            }
            (Registered | Pending, Change::Approve)
            | (Registered | Pending | Enrolled | Active | Revoked, Change::Rebind) => {
                Ok(Registered)
            }
            (from, change) => Err(TransitionError { from, change }),
        }
    }

    /// Whether the device API answers.
    pub fn may_connect(self) -> bool {
        matches!(self, Self::Enrolled | Self::Active)
    }

    /// The name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Pending => "pending",
            Self::Enrolled => "enrolled",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is not a state.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is not a device state")]
pub struct StateError(String);

impl FromStr for DeviceState {
    type Err = StateError;
    fn from_str(text: &str) -> Result<Self, StateError> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StateError(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceState::{Active, Enrolled, Pending, Registered, Retired, Revoked, Suspended};
    use super::*;

    #[test]
    fn transitions() {
        let resume = Change::Resume { before: Active };
        // Rows: state; columns: what each change leads to, None where it is refused.
        let columns = [
            Change::AwaitApproval,
            Change::Approve,
            Change::Enrol,
            Change::Activate,
            Change::Suspend,
            resume,
            Change::Revoke,
            Change::Retire,
            Change::Rebind,
        ];
        let to = |state| Some(state);
        let (reg, pen, enr, act) = (to(Registered), to(Pending), to(Enrolled), to(Active));
        let (sus, rev, ret) = (to(Suspended), to(Revoked), to(Retired));
        let table = [
            (Registered, [pen, reg, enr, None, sus, None, rev, ret, reg]),
            (Pending, [pen, reg, None, None, sus, None, rev, ret, reg]),
            (Enrolled, [None, None, enr, act, sus, None, rev, ret, reg]),
            (Active, [None, None, act, act, sus, None, rev, ret, reg]),
            (Suspended, [None, None, None, None, None, act, rev, ret, None]),
            (Revoked, [None, None, None, None, None, None, None, ret, reg]),
            (Retired, [None; 9]),
        ];
        for (state, row) in table {
            for (change, expected) in columns.into_iter().zip(row) {
                assert_eq!(state.after(change).ok(), expected, "{state} {change:?}");
            }
        }
    }

    #[test]
    fn names_read_back() {
        for state in DeviceState::ALL {
            assert_eq!(state.as_str().parse::<DeviceState>().unwrap(), state);
        }
        assert!("gone".parse::<DeviceState>().is_err());
    }
}
