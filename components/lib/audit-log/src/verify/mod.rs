//! Judging a whole log: what is there, what was signed, and which records are not what they were.
//!
//! Three things carry the proof. The *chain*: every record holds the hash of the one before it, so
//! a change shows at the next record. The *tree*: a checkpoint signs the root over all records, so
//! what a checkpoint covers cannot be changed, left out or put in another order, by whoever does not
//! hold the key. The *sequence numbers*: they say which record it is.
//!
//! What was written after the last checkpoint is protected by the chain only: its end can be cut
//! off unseen. That is what an ordinary power cut does too, and it is told apart from tampering by
//! the checkpoints: a log may end after the last one, never before.

mod finding;
mod judge;
mod report;
mod run;
mod scan;

pub use finding::{Fault, Finding};
pub use report::{Ending, Report};

use scan::{Scan, Signed};

use crate::Origin;
use crate::checkpoint::{AuditKey, SignedCheckpoint};
use crate::tree::Tree;

/// Reads the segments of one log in order. Keeps 64 bytes for each record.
#[derive(Debug)]
pub struct Verifier {
    scan: Scan,
}

/// A log that was read to its end.
#[derive(Debug)]
pub struct Verified {
    /// What was found.
    pub report: Report,
    /// The tree over the last records without a gap, for proofs; `None` where there is none.
    pub tree: Option<Tree>,
}

impl Verifier {
    /// Verifies against the public key of the log. Without `origin` the first segment says which
    /// log it is.
    pub fn new(key: AuditKey, origin: Option<Origin>) -> Self {
        Self { scan: Scan::new(key, origin) }
    }

    /// Reads the next segment; `place` names it in findings.
    pub fn segment(&mut self, place: &str, bytes: &[u8]) {
        self.scan.segment(place, bytes);
    }

    /// Judges everything that was read, with checkpoints that were kept elsewhere and their names.
    pub fn finish(mut self, given: &[(String, SignedCheckpoint)]) -> Verified {
        self.scan.end_run();
        let size = self.scan.next().unwrap_or(0);
        let mut signed = std::mem::take(&mut self.scan.signed);
        for (place, checkpoint) in given {
            match self.scan.verify(checkpoint) {
                Ok(checkpoint) => signed.push(Signed { place: place.clone(), checkpoint }),
                Err(detail) => {
                    let last = checkpoint.unverified().size.saturating_sub(1);
                    self.scan.find(place, last, last, Fault::Checkpoint { detail });
                }
            }
        }
        signed.sort_by_key(|signed| signed.checkpoint.size);
        let ending = self.ending(&signed, size);
        let Scan { origin, runs, mut findings, refused, records, absent, .. } = self.scan;
        for (place, first, last) in absent {
            findings.push(Finding { place, first, last, fault: Fault::Missing });
        }
        let mut agreeing = vec![false; signed.len()];
        let judged: Vec<_> =
            runs.iter().map(|run| judge::judge(run, &signed, &mut agreeing)).collect();
        findings.extend(judged.iter().flat_map(|judged| judged.findings(&refused)));
        for pair in judged.windows(2) {
            if let [before, after] = pair
                && let Some(finding) = judge::boundary(before, after)
                && !findings.contains(&finding)
            {
                findings.push(finding);
            }
        }
        if let Some(last) = signed.last().filter(|last| last.checkpoint.size > size) {
            let signed_size = last.checkpoint.size;
            let fault = Fault::RolledBack { signed_size };
            let place = last.place.clone();
            findings.push(Finding { place, first: size, last: signed_size - 1, fault });
        }
        findings.sort_by_key(|finding| finding.first);
        let agreed = || signed.iter().zip(&agreeing).filter(|(_, agrees)| **agrees);
        let last = runs.last();
        let report = Report {
            origin,
            first: runs.first().map_or(0, |run| run.first),
            records,
            size,
            head: last.map(|run| run.head),
            root: last.and_then(|run| run.tree.as_ref()?.root_at(size).ok()),
            checkpoints: agreed().count() as u64,
            signed_size: agreed().map(|(signed, _)| signed.checkpoint.size).max(),
            ending,
            findings,
        };
        Verified { report, tree: runs.into_iter().next_back().and_then(|run| run.tree) }
    }

    /// Bytes at the end that are no record are damage only where something signed lies there.
    fn ending(&mut self, signed: &[Signed], size: u64) -> Ending {
        let Some(damage) = self.scan.damage.take() else { return Ending::Whole };
        if signed.last().is_some_and(|last| last.checkpoint.size > size) {
            self.scan.find(&damage.place, size, size, damage.fault());
            return Ending::Whole;
        }
        let scan::Damage { place, offset, bytes, error, .. } = damage;
        Ending::Torn { place, offset, bytes, detail: error.to_string() }
    }
}
