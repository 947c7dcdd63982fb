//! Why a device stays closed.

use std::fmt;

/// Stable codes, for the console and `verdict.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `release.toml` or the PCR key of the image cannot be used.
    ReleaseUnreadable,
    /// The release is older than the floor allows.
    BelowFloor,
    /// The device was provisioned, and its floor is gone.
    FloorMissing,
    /// PCR 12 is not zero.
    CommandLineAdded,
    /// The boot's PCR signatures are absent, of another key or of other values.
    BootNotSigned,
    /// The TPM does not do what is asked.
    TpmUnusable,
    /// The disk under the root file system cannot be told or read.
    BootDiskUnusable,
    /// More than one state volume.
    SeveralVarPartitions,
    /// The state volume could not be made.
    VarNotCreated,
    /// This TPM in this boot does not open the state volume.
    VarDoesNotOpen,
    /// The state volume was not made by this device.
    VarIsForeign,
    /// The file system in the state volume cannot be mounted.
    VarDamaged,
    /// Something else is mounted at `/var`.
    VarOccupied,
    /// The steps come to no end.
    NoProgress,
}

impl Reason {
    /// The code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ReleaseUnreadable => "release-unreadable",
            Self::BelowFloor => "below-floor",
            Self::FloorMissing => "floor-missing",
            Self::CommandLineAdded => "command-line-added",
            Self::BootNotSigned => "boot-not-signed",
            Self::TpmUnusable => "tpm-unusable",
            Self::BootDiskUnusable => "boot-disk-unusable",
            Self::SeveralVarPartitions => "several-var-partitions",
            Self::VarNotCreated => "var-not-created",
            Self::VarDoesNotOpen => "var-does-not-open",
            Self::VarIsForeign => "var-is-foreign",
            Self::VarDamaged => "var-damaged",
            Self::VarOccupied => "var-occupied",
            Self::NoProgress => "no-progress",
        }
    }
}

/// A refusal: its code, and for people what was seen and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub reason: Reason,
    /// One line.
    pub detail: String,
}

impl Refusal {
    /// A refusal; line breaks in the text become semicolons.
    pub fn new(reason: Reason, detail: impl fmt::Display) -> Self {
        let detail = detail.to_string();
        let lines: Vec<&str> =
            detail.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Self { reason, detail: lines.join("; ") }
    }

    /// For `map_err`.
    pub fn because<E: fmt::Display>(reason: Reason) -> impl Fn(E) -> Self {
        move |error| Self::new(reason, error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reason={}: {}", self.reason.code(), self.detail)
    }
}
