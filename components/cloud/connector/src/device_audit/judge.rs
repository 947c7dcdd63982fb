//! What of an upload is believed: a batch against what is stored of its log.

use holdfast_audit_log::checkpoint::{
    AuditKey, BootBinding, Checkpoint, CheckpointError, NotSigned, SignedCheckpoint,
};
use holdfast_audit_log::frame::Kind;
use holdfast_audit_log::segment::BadFrame;
use holdfast_audit_log::{Hash, Origin};

use super::batch::{Batch, Record};
use super::log::{BatchContent, LogState, Position};

/// Checkpoints of one batch that may be about records before it: a signature takes a TPM so long
/// that records come between, but not this many.
const EARLIER_CHECKPOINTS: usize = 16;

/// A log at one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Hash of the last record.
    pub head: Hash,
    /// Root of the tree.
    pub root: Hash,
}

/// What is stored of a log, to be looked up where an upload begins before its end.
pub trait Past {
    /// Why it cannot be looked up.
    type Error;
    /// The log as it was after its first `size` records.
    fn at(&mut self, size: u64) -> Result<Point, Self::Error>;
}

/// The log that a batch is for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What it calls itself.
    pub origin: &'a Origin,
    /// What signs its checkpoints.
    pub key: &'a AuditKey,
    /// Whether it still grows.
    pub state: LogState,
    /// Up to where it is stored.
    pub position: &'a Position,
}

/// What comes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of it is stored already.
    Repeat,
    /// It goes on from where the log is stored.
    Appends(Box<Appended>),
    /// Nothing of it is to be stored.
    Refused(Refusal),
}

/// What a batch adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where the first new frame begins, bytes from the start of the batch.
    pub offset: usize,
    /// Number of new records.
    pub records: u64,
    /// The log with them.
    pub position: Position,
    /// What they are about.
    pub content: BatchContent,
}

/// Why nothing of a batch is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Records before it are missing.
    #[error("the log is stored up to record {size}, the batch begins with {first}")]
    Gap {
        /// Records that are stored.
        size: u64,
        /// First record of the batch.
        first: u64,
    },
    /// It tells another history than the one that is stored.
    #[error("record {sequence} is not the one that was stored or must follow here")]
    Fork {
        /// First record that differs.
        sequence: u64,
    },
    /// The log does not grow any more.
    #[error("the log is {} and takes no more records", .0.as_str())]
    ReadOnly(LogState),
    /// A frame cannot be read or does not follow the one before it.
    #[error("{0}")]
    Frame(#[from] BadFrame),
    /// A checkpoint is not one of this log.
    #[error("record {sequence} is no checkpoint of this log: {fault}")]
    Checkpoint {
        /// The record.
        sequence: u64,
        /// What is wrong.
        fault: CheckpointFault,
    },
    /// A start of the device that is not after the one before it.
    #[error(
        "record {sequence} is of start {} (counter {}) of the TPM, but start {} (counter {}) is \
         stored already",
        found.clock.reset_count, found.nv_counter, stored.clock.reset_count, stored.nv_counter
    )]
    RolledBack {
        /// The record.
        sequence: u64,
        /// The start that it tells of.
        found: BootBinding,
        /// The start that was told before.
        stored: BootBinding,
    },
}

/// What is wrong with a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] CheckpointError),
    /// It is not signed with the log's key under the log's name.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// It is about records that come after it.
    #[error("it is about {0} records, more than there are before it")]
    Size(u64),
    /// The records have another root.
    #[error("the root over {0} records is another one")]
    Root(u64),
    /// The last of the records has another hash.
    #[error("the last of {0} records has another hash")]
    Head(u64),
    /// Too many are about records of earlier uploads.
    #[error("more than {EARLIER_CHECKPOINTS} checkpoints are about records before the batch")]
    TooManyEarlier,
}

/// Judges a batch whose first record is said to have the number `first`.
pub fn judge<P: Past>(
    subject: &Subject<'_>,
    first: u64,
    bytes: &[u8],
    past: &mut P,
) -> Result<Verdict, P::Error> {
    let size = subject.position.size();
    if first > size {
        return Ok(Verdict::Refused(Refusal::Gap { size, first }));
    }
    let batch = match Batch::parse(first, bytes) {
        Ok(batch) => batch,
        Err(bad) => return Ok(Verdict::Refused(bad.into())),
    };
    let records = batch.records();
    let stored = usize::try_from(size - first).map_or(records.len(), |n| n.min(records.len()));
    let (repeated, new) = records.split_at(stored);
    if let Some(sequence) = fork(subject.position, repeated, new, past)? {
        return Ok(Verdict::Refused(Refusal::Fork { sequence }));
    }
    let Some(begin) = new.first() else { return Ok(Verdict::Repeat) };
    if subject.state != LogState::Open {
        return Ok(Verdict::Refused(Refusal::ReadOnly(subject.state)));
    }
    Ok(match append(subject, new, past)? {
        Ok((position, content)) => Verdict::Appends(Box::new(Appended {
            offset: begin.offset,
            records: new.len() as u64,
            position,
            content,
        })),
        Err(refusal) => Verdict::Refused(refusal),
    })
}

/// The first record that is not the stored one. Each record holds the hash of the one before it, so
/// that where one is the stored one, all before it are.
fn fork<P: Past>(
    position: &Position,
    repeated: &[Record<'_>],
    new: &[Record<'_>],
    past: &mut P,
) -> Result<Option<u64>, P::Error> {
    let Some(last) = repeated.last() else {
        let follows = |record: &Record<'_>| record.frame.previous == position.head;
        return Ok(new.first().filter(|first| !follows(first)).map(|first| first.frame.sequence));
    };
    let mut is_stored = |record: &Record<'_>| {
        let size = record.frame.sequence + 1;
        let head = if size == position.size() { position.head } else { past.at(size)?.head };
        Ok(record.hash == head)
    };
    if is_stored(last)? {
        return Ok(None);
    }
    let (mut same, mut differs) = (0, repeated.len() - 1);
    while same < differs {
        let middle = usize::midpoint(same, differs);
        if is_stored(&repeated[middle])? {
            same = middle + 1;
        } else {
            differs = middle;
        }
    }
    Ok(Some(repeated[differs].frame.sequence))
}

type Judged<T> = Result<T, Refusal>;

fn append<P: Past>(
    subject: &Subject<'_>,
    new: &[Record<'_>],
    past: &mut P,
) -> Result<Judged<(Position, BatchContent)>, P::Error> {
    let checkpoints = match checkpoints(subject, new) {
        Ok(checkpoints) => checkpoints,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut position = subject.position.clone();
    let mut content = BatchContent::none();
    let mut points = Points::new(subject.position.size(), &checkpoints);
    let mut checkpoints = checkpoints.into_iter().peekable();
    for record in new {
        points.note(&position);
        let sequence = record.frame.sequence;
        if let Some((_, checkpoint)) = checkpoints.next_if(|(at, _)| *at == sequence) {
            let Some(point) = points.at(checkpoint.size, past)? else {
                let fault = CheckpointFault::TooManyEarlier;
                return Ok(Err(Refusal::Checkpoint { sequence, fault }));
            };
            if let Err(fault) = agrees(&checkpoint, point) {
                return Ok(Err(Refusal::Checkpoint { sequence, fault }));
            }
            if let (Some(found), Some(stored)) = (checkpoint.boot, position.boot)
                && !is_after(&found, &stored)
            {
                return Ok(Err(Refusal::RolledBack { sequence, found, stored }));
            }
            position.boot = checkpoint.boot.or(position.boot);
            position.checkpoint = Some(checkpoint.size);
        }
        position.head = record.hash;
        position.frontier.push(record.hash);
        content.add(&record.frame);
    }
    Ok(Ok((position, content)))
}

/// Reads and verifies the checkpoints among records, each with the number of its record.
fn checkpoints(subject: &Subject<'_>, new: &[Record<'_>]) -> Judged<Vec<(u64, Checkpoint)>> {
    let read = |record: &Record<'_>| {
        let sequence = record.frame.sequence;
        let signed = SignedCheckpoint::parse(record.frame.payload)?;
        let checkpoint = subject.key.verify(&signed, subject.origin)?;
        if checkpoint.size > sequence {
            return Err(CheckpointFault::Size(checkpoint.size));
        }
        Ok((sequence, checkpoint.clone()))
    };
    new.iter()
        .filter(|record| record.frame.kind == Kind::Checkpoint)
        .map(|record| {
            let sequence = record.frame.sequence;
            read(record).map_err(|fault| Refusal::Checkpoint { sequence, fault })
        })
        .collect()
}

fn agrees(checkpoint: &Checkpoint, point: Point) -> Result<(), CheckpointFault> {
    if checkpoint.root != point.root {
        return Err(CheckpointFault::Root(checkpoint.size));
    }
    if checkpoint.head != point.head {
        return Err(CheckpointFault::Head(checkpoint.size));
    }
    Ok(())
}

/// Both counters grow at every start of the device; a disk that was put back has an old one.
fn is_after(found: &BootBinding, stored: &BootBinding) -> bool {
    found.nv_counter > stored.nv_counter && found.clock.reset_count > stored.clock.reset_count
}

/// The log at the sizes that its checkpoints are about, so that the tree is built once.
struct Points {
    stored: u64,
    /// Sizes within the batch in descending order, so that the next is the last.
    wanted: Vec<u64>,
    known: Vec<(u64, Point)>,
    earlier: usize,
}

impl Points {
    fn new(stored: u64, checkpoints: &[(u64, Checkpoint)]) -> Self {
        let sizes = checkpoints.iter().map(|(_, checkpoint)| checkpoint.size);
        let mut wanted: Vec<u64> = sizes.filter(|size| *size >= stored).collect();
        wanted.sort_unstable_by(|a, b| b.cmp(a));
        wanted.dedup();
        Self { stored, wanted, known: Vec::new(), earlier: 0 }
    }

    /// Keeps this point of the log if it is wanted.
    fn note(&mut self, position: &Position) {
        if self.wanted.last() == Some(&position.size()) {
            self.wanted.pop();
            let point = Point { head: position.head, root: position.frontier.root() };
            self.known.push((position.size(), point));
        }
    }

    fn at<P: Past>(&mut self, size: u64, past: &mut P) -> Result<Option<Point>, P::Error> {
        if size >= self.stored {
            let place = self.known.binary_search_by_key(&size, |(known, _)| *known);
            return Ok(place.ok().map(|place| self.known[place].1));
        }
        self.earlier += 1;
        if self.earlier > EARLIER_CHECKPOINTS {
            return Ok(None);
        }
        past.at(size).map(Some)
    }
}

#[cfg(test)]
mod tests;
