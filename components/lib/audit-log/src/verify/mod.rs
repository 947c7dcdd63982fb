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

use crate::checkpoint::{AuditKey, Checkpoint, SignedCheckpoint};
use crate::frame::Decoded;
use crate::tree::Tree;
use crate::{Hash, Origin};

/// A log at one size, as somebody signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Number of records.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// Hash of the last of them.
    pub head: Hash,
}

impl State {
    fn of(checkpoint: &Checkpoint) -> Self {
        let Checkpoint { size, root, head, .. } = checkpoint;
        Self { size: *size, root: *root, head: *head }
    }
}

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
        Self { scan: Scan::new(Some(key), origin) }
    }

    /// Verifies without a key. Whoever can write to the log can make one that is good to this
    /// verifier; it finds what broke, and what was changed without that care.
    pub fn without_key(origin: Option<Origin>) -> Self {
        Self { scan: Scan::new(None, origin) }
    }

    /// Which log: what was given, or what the first segment says.
    pub fn origin(&self) -> Option<&Origin> {
        self.scan.origin.as_ref()
    }

    /// Reads the next segment; `place` names it in findings.
    pub fn segment(&mut self, place: &str, bytes: &[u8]) {
        self.segment_with(place, bytes, |_, _| ());
    }

    /// Reads the next segment and shows each of its records that is in its place, with its hash.
    /// What is found out about them later is in the report only.
    pub fn segment_with(
        &mut self,
        place: &str,
        bytes: &[u8],
        mut each: impl FnMut(&Decoded<'_>, Hash),
    ) {
        self.scan.segment(place, bytes, &mut each);
    }

    /// As [`Self::segment_with`], for frames without a header before them. Where they are not the
    /// log's first and nothing was read before them, there is no tree, so checkpoints prove nothing.
    pub fn frames_with(
        &mut self,
        place: &str,
        bytes: &[u8],
        mut each: impl FnMut(&Decoded<'_>, Hash),
    ) {
        self.scan.frames(place, bytes, 0, &mut each);
    }

    /// Takes a state of the log that somebody else signed and the caller has verified, as a
    /// receipt of the cloud.
    pub fn vouched(&mut self, place: &str, state: State) {
        self.scan.signed.push(Signed { place: place.to_owned(), state });
    }

    /// Judges everything that was read, with checkpoints that were kept elsewhere and their names.
    pub fn finish(mut self, given: &[(String, SignedCheckpoint)]) -> Verified {
        self.scan.end_run();
        let size = self.scan.next().unwrap_or(0);
        let mut signed = std::mem::take(&mut self.scan.signed);
        for (place, checkpoint) in given {
            match self.scan.verify(checkpoint) {
                Ok(checkpoint) => {
                    signed.push(Signed { place: place.clone(), state: State::of(&checkpoint) });
                }
                Err(detail) => {
                    let last = checkpoint.unverified().size.saturating_sub(1);
                    self.scan.find(place, last, last, Fault::Checkpoint { detail });
                }
            }
        }
        signed.sort_by_key(|signed| signed.state.size);
        let ending = self.ending(&signed, size);
        let is_signature_verified = self.scan.key.is_some();
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
        if let Some(last) = signed.last().filter(|last| last.state.size > size) {
            let signed_size = last.state.size;
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
            signed_size: agreed().map(|(signed, _)| signed.state.size).max(),
            ending,
            is_signature_verified,
            findings,
        };
        Verified { report, tree: runs.into_iter().next_back().and_then(|run| run.tree) }
    }

    /// Bytes at the end that are no record are damage only where something signed lies there.
    fn ending(&mut self, signed: &[Signed], size: u64) -> Ending {
        let Some(damage) = self.scan.damage.take() else { return Ending::Whole };
        if signed.last().is_some_and(|last| last.state.size > size) {
            self.scan.find(&damage.place, size, size, damage.fault());
            return Ending::Whole;
        }
        let scan::Damage { place, offset, bytes, error, .. } = damage;
        Ending::Torn { place, offset, bytes, detail: error.to_string() }
    }
}
