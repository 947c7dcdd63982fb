//! What is wrong with a log, and at which record.

use std::fmt;

use serde::Serialize;

use crate::Origin;

/// Something that an honest log does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the segment, or of the checkpoint that was given.
    pub place: String,
    /// First record that it is about.
    pub first: u64,
    /// Last record that it is about.
    pub last: u64,
    /// What is wrong.
    #[serde(flatten)]
    pub fault: Fault,
}

/// What can be wrong with records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// Their bytes cannot be read.
    Damaged {
        /// Where, and what is wrong there.
        detail: String,
    },
    /// Bytes that are no record stand before this one.
    Inserted {
        /// Where, and what is wrong there.
        detail: String,
    },
    /// The segment ends inside them.
    Truncated {
        /// Where, and what is missing there.
        detail: String,
    },
    /// They are not there.
    Missing,
    /// They are there once more.
    Repeated,
    /// They are not in their place.
    OutOfOrder,
    /// There is another record of the same number.
    Conflict,
    /// They were changed: what follows holds another hash of them, and is signed.
    Altered,
    /// They do not follow what is before them, and no signed checkpoint tells which side is true.
    Unlinked,
    /// They do not follow what is before them, and are not what was signed.
    Spliced,
    /// They stand where other records were signed.
    Replaced {
        /// Records that the checkpoint covers which shows it.
        signed_size: u64,
    },
    /// The segment is of another log.
    OtherLog {
        /// That log.
        origin: Origin,
    },
    /// The segment's header is not right.
    Header {
        /// What is wrong with it.
        detail: String,
    },
    /// The checkpoint is not right.
    Checkpoint {
        /// What is wrong with it.
        detail: String,
    },
    /// The log ends before records that were signed.
    RolledBack {
        /// Records that the checkpoint covers.
        signed_size: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, first, last, fault } = self;
        if first == last {
            write!(f, "{place}: record {first}: {fault}")
        } else {
            write!(f, "{place}: records {first} to {last}: {fault}")
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { detail } => write!(f, "damaged: {detail}"),
            Self::Inserted { detail } => write!(f, "bytes that are no record before it: {detail}"),
            Self::Truncated { detail } => write!(f, "truncated: {detail}"),
            Self::Missing => f.write_str("missing"),
            Self::Repeated => f.write_str("repeated"),
            Self::OutOfOrder => f.write_str("out of order"),
            Self::Conflict => f.write_str("another record of this number is there"),
            Self::Altered => {
                f.write_str("altered: the record after it holds another hash, which is signed")
            }
            Self::Unlinked => f.write_str(
                "does not follow the record before it: one of the two was changed or comes from elsewhere",
            ),
            Self::Spliced => {
                f.write_str("from here on from elsewhere: neither linked to what is before nor signed")
            }
            Self::Replaced { signed_size } => {
                write!(f, "not the records that the checkpoint of {signed_size} records signs")
            }
            Self::OtherLog { origin } => write!(f, "the segment is of log {origin}"),
            Self::Header { detail } => f.write_str(detail),
            Self::Checkpoint { detail } => write!(f, "checkpoint refused: {detail}"),
            Self::RolledBack { signed_size } => {
                write!(f, "gone: a checkpoint signs {signed_size} records")
            }
        }
    }
}

/// Adds a finding, or widens the last one if it says the same of the records just before.
pub(super) fn add(findings: &mut Vec<Finding>, finding: Finding) {
    if let Some(last) = findings.last_mut()
        && last.place == finding.place
        && last.fault == finding.fault
        && last.last.checked_add(1) == Some(finding.first)
    {
        last.last = finding.last;
    } else {
        findings.push(finding);
    }
}
