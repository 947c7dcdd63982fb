//! Judging runs by the checkpoints that were signed.

use super::finding::Fault;
use super::run::{Run, Start};
use super::scan::Signed;
use super::{Finding, State};

/// A run with what the checkpoints say of it.
pub(super) struct Judged<'a> {
    run: &'a Run,
    /// Records that the largest checkpoint covers that agrees.
    proven: Option<u64>,
    /// Records that the first checkpoint covers that does not.
    refuted: Option<u64>,
}

/// Compares a run with the checkpoints, which are in order of size.
pub(super) fn judge<'a>(run: &'a Run, signed: &[Signed], agreeing: &mut [bool]) -> Judged<'a> {
    let mut judged = Judged { run, proven: None, refuted: None };
    for (signed, agrees) in signed.iter().zip(agreeing) {
        let State { size, root, head } = signed.state;
        match run.matches(size, root, head) {
            Some(true) => {
                judged.proven = Some(size);
                *agrees = true;
            }
            Some(false) => {
                judged.refuted.get_or_insert(size);
            }
            None => {}
        }
    }
    judged
}

impl Judged<'_> {
    /// What is wrong within the run; `refused` are records with a checkpoint that is none of ours.
    pub(super) fn findings(&self, refused: &[u64]) -> Vec<Finding> {
        let run = self.run;
        let mut findings: Vec<Finding> = run.altered.iter().map(Run::altered_finding).collect();
        let mut is_explained = false;
        for at in &run.breaks {
            let sequence = at.sequence;
            let is_proven = self.proven.is_some_and(|size| size >= sequence);
            let is_refuted = self.refuted.is_some_and(|size| size >= sequence)
                || refused.iter().any(|r| (sequence..run.next).contains(r));
            let (first, fault) = match (is_proven, is_refuted) {
                // Only the record before it differs from what was signed.
                (true, _) if sequence > run.first => (sequence - 1, Fault::Altered),
                (false, true) => (sequence, Fault::Spliced),
                _ => (sequence, Fault::Unlinked),
            };
            is_explained |= fault == Fault::Spliced;
            findings.push(Finding { place: at.place.clone(), first, last: first, fault });
        }
        if let Some(signed_size) = self.refuted.filter(|_| !is_explained) {
            findings.extend(self.replaced(signed_size));
        }
        findings
    }

    /// The records up to `end` that no checkpoint proves.
    fn replaced(&self, end: u64) -> Option<Finding> {
        let first = self.proven.unwrap_or(self.run.first);
        let last = end.checked_sub(1).filter(|last| *last >= first)?;
        let fault = Fault::Replaced { signed_size: end };
        Some(Finding { place: self.run.place.clone(), first, last, fault })
    }
}

/// What is wrong where one run should have continued the other. What a checkpoint proves is true,
/// so the other side is not.
pub(super) fn boundary(before: &Judged<'_>, after: &Judged<'_>) -> Option<Finding> {
    if after.run.start == Start::Open {
        return None;
    }
    let (first, end) = (after.run.first, after.run.next);
    if after.proven.is_some() && before.refuted.is_none() {
        if let Some(finding) = before.replaced(first) {
            return Some(finding);
        }
    } else if after.proven.is_some() {
        return None;
    } else if before.proven.is_some() && end > first {
        let place = after.run.place.clone();
        return Some(Finding { place, first, last: end - 1, fault: Fault::Spliced });
    }
    let place = after.run.place.clone();
    Some(Finding { place, first, last: first, fault: Fault::Unlinked })
}
