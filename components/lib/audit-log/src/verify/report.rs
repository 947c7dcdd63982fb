//! What came of a verification.

use serde::Serialize;

use super::Finding;
use crate::{Hash, Origin};

/// What was found in a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which log; `None` where no segment could be read.
    pub origin: Option<Origin>,
    /// First record that is there.
    pub first: u64,
    /// Records that are there and in their place.
    pub records: u64,
    /// The log's size: one more than the last record's number.
    pub size: u64,
    /// Hash of the last record.
    pub head: Option<Hash>,
    /// Root of the tree over all records; `None` where gaps make it unknown.
    pub root: Option<Hash>,
    /// Checkpoints, and other signed states, whose signature and root are right.
    pub checkpoints: u64,
    /// Records that the largest of them covers.
    pub signed_size: Option<u64>,
    /// Whether the signatures of checkpoints were verified, which takes the key of the log.
    pub is_signature_verified: bool,
    /// How the log ends.
    pub ending: Ending,
    /// What is wrong, in the order of the log.
    pub findings: Vec<Finding>,
}

/// How a log ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Ending {
    /// With a whole record.
    Whole,
    /// With bytes that are no record, after everything that was signed: what an ordinary power cut
    /// leaves of records that were not yet on disk.
    Torn {
        /// Segment.
        place: String,
        /// Where they begin, bytes from the start of the segment.
        offset: usize,
        /// How many.
        bytes: usize,
        /// What is wrong with the first of them.
        detail: String,
    },
}

impl Report {
    /// Whether nothing is wrong. A torn end is nothing wrong.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}
