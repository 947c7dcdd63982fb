//! Releases whose boots the operator accepts.

use holdfast_attestation::pcr::ReleaseMeasurement;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A published release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What it measures at boot.
    #[serde(flatten)]
    pub measurement: ReleaseMeasurement,
    /// When it was published.
    #[serde(with = "time::serde::rfc3339")]
    pub published_at: OffsetDateTime,
    /// By whom.
    pub published_by: String,
    /// When it was withdrawn: no enrolment with it from then on.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub withdrawn_at: Option<OffsetDateTime>,
}

impl Release {
    /// Whether devices may enrol with it.
    pub fn is_accepted(&self) -> bool {
        self.withdrawn_at.is_none()
    }

    /// What people call it.
    pub fn label(&self) -> String {
        let ReleaseMeasurement { name, version, profile, .. } = &self.measurement;
        format!("{name} {version} ({profile})")
    }
}
