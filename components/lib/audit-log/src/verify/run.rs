//! Records that follow each other without a gap.

use super::finding::Fault;
use crate::segment::SegmentHeader;
use crate::tree::{Frontier, Tree};
use crate::{Hash, Origin};

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With the first record that is there, or after a gap.
    Open,
    /// Right after the run before it, but not as its continuation.
    Broken,
}

/// Whether a segment continues a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuation {
    /// It does.
    Whole,
    /// It does, but for the hash of the last record in its header.
    OtherPrevious,
    /// It does not.
    No,
}

/// A place where a record holds another hash of the one before it, while everything else fits.
#[derive(Clone, Debug)]
pub(super) struct Break {
    /// The record that holds the other hash.
    pub(super) sequence: u64,
    pub(super) place: String,
}

/// Records from `first` on. Where a record's own bytes and what the next one holds disagree, the
/// tree has what the next one holds: if a later checkpoint agrees with that, the record alone was
/// changed.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) place: String,
    pub(super) start: Start,
    pub(super) first: u64,
    /// Hash of the record before the first.
    pub(super) previous: Hash,
    /// `None` from a gap to the next header: the tree over the records before is not known.
    pub(super) tree: Option<Tree>,
    pub(super) next: u64,
    pub(super) head: Hash,
    pub(super) breaks: Vec<Break>,
    /// Records that are certainly changed.
    pub(super) altered: Vec<Break>,
    suspect: Option<Suspect>,
}

/// The last record, if it holds another hash of the one before it.
#[derive(Clone, Debug)]
struct Suspect {
    at: Break,
    claimed: Hash,
}

impl Run {
    pub(super) fn begin(place: &str, header: &SegmentHeader, start: Start) -> Self {
        let SegmentHeader { previous, frontier, .. } = header;
        let first = frontier.size();
        Self::new(place, start, first, *previous, Some(Tree::new(frontier)))
    }

    /// A log's beginning whose header cannot be read.
    pub(super) fn from_genesis(place: &str, origin: Option<&Origin>, previous: Hash) -> Self {
        let previous = origin.map_or(previous, Origin::genesis);
        Self::new(place, Start::Open, 0, previous, Some(Tree::new(&Frontier::default())))
    }

    /// After a gap.
    pub(super) fn without_tree(place: &str, first: u64, previous: Hash) -> Self {
        Self::new(place, Start::Open, first, previous, None)
    }

    fn new(place: &str, start: Start, first: u64, previous: Hash, tree: Option<Tree>) -> Self {
        Self {
            place: place.to_owned(),
            start,
            first,
            previous,
            tree,
            next: first,
            head: previous,
            breaks: Vec::new(),
            altered: Vec::new(),
            suspect: None,
        }
    }

    /// Adds a record of which only the hash is known.
    pub(super) fn push(&mut self, hash: Hash) {
        if let Some(tree) = &mut self.tree {
            tree.push(hash);
        }
        self.head = hash;
        self.next += 1;
    }

    /// Takes note of what the next record, or header, holds as the hash of the last one.
    pub(super) fn link(&mut self, place: &str, claimed: Hash) {
        match (claimed == self.head, self.suspect.take()) {
            (true, None) => {}
            // The last record fits to what follows: it is the one before it that does not.
            (true, Some(suspect)) => self.confirm(suspect),
            (false, None) if self.next > self.first => {
                let at = Break { sequence: self.next, place: place.to_owned() };
                self.suspect = Some(Suspect { at, claimed });
            }
            // The first record that is there does not fit its header.
            (false, None) => {
                self.breaks.push(Break { sequence: self.next, place: place.to_owned() });
            }
            // The last record fits neither before nor after: it is the one that was changed.
            (false, Some(suspect)) => {
                self.altered.push(Break { sequence: self.next - 1, place: suspect.at.place });
                self.replace(self.next - 1, claimed);
            }
        }
    }

    /// No more records follow.
    pub(super) fn end(&mut self) {
        if let Some(suspect) = self.suspect.take() {
            self.confirm(suspect);
        }
    }

    fn confirm(&mut self, suspect: Suspect) {
        self.replace(suspect.at.sequence - 1, suspect.claimed);
        self.breaks.push(suspect.at);
    }

    fn replace(&mut self, sequence: u64, hash: Hash) {
        if sequence + 1 == self.next {
            self.head = hash;
        }
        let Some(tree) = &mut self.tree else { return };
        let later: Vec<Hash> = (sequence + 1..tree.size()).map_while(|s| tree.leaf(s)).collect();
        tree.truncate(sequence);
        tree.push(hash);
        for leaf in later {
            tree.push(leaf);
        }
    }

    /// Whether a header continues this run. A header that disagrees only about the last record
    /// continues it with that record changed.
    pub(super) fn accepts(&mut self, place: &str, header: &SegmentHeader) -> Continuation {
        let frontier_at = |run: &Self, size| run.tree.as_ref()?.frontier_at(size).ok();
        if header.previous == self.head {
            self.link(place, header.previous);
            let ours = frontier_at(self, self.next);
            return if ours.is_some_and(|ours| ours == header.frontier) {
                Continuation::Whole
            } else {
                Continuation::No
            };
        }
        if frontier_at(self, self.next).is_some_and(|ours| ours == header.frontier) {
            return Continuation::OtherPrevious;
        }
        let last = self.next.checked_sub(1).filter(|last| *last >= self.first);
        let patched = last.and_then(|last| frontier_at(self, last)).map(|mut frontier| {
            frontier.push(header.previous);
            frontier
        });
        if patched.is_some_and(|patched| patched == header.frontier) {
            self.link(place, header.previous);
            self.end();
            return Continuation::Whole;
        }
        Continuation::No
    }

    pub(super) fn leaf(&self, sequence: u64) -> Option<Hash> {
        self.tree.as_ref()?.leaf(sequence)
    }

    /// Whether the run's records are those of a checkpoint of this size; `None` if it cannot tell.
    pub(super) fn matches(&self, size: u64, root: Hash, head: Hash) -> Option<bool> {
        let root_here = self.tree.as_ref()?.root_at(size).ok()?;
        let head_here =
            if size == self.first { self.previous } else { self.leaf(size.checked_sub(1)?)? };
        Some(root_here == root && head_here == head)
    }

    /// The findings about changed records, for who has judged the breaks.
    pub(super) fn altered_finding(at: &Break) -> super::Finding {
        super::Finding {
            place: at.place.clone(),
            first: at.sequence,
            last: at.sequence,
            fault: Fault::Altered,
        }
    }
}
