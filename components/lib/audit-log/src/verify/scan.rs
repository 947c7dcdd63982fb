//! Reading segments into runs.

use std::collections::BTreeMap;

use super::State;
use super::finding::{self, Fault, Finding};
use super::run::{Continuation, Run, Start};
use crate::checkpoint::{AuditKey, Checkpoint, NotSigned, SignedCheckpoint};
use crate::frame::{Decoded, Frame, FrameError, Kind};
use crate::segment::SegmentHeader;
use crate::{Hash, Origin};

/// What is done with each record in its place.
pub(super) type Each<'a> = dyn FnMut(&Decoded<'_>, Hash) + 'a;

/// Most bytes of one segment that the search for the next readable record may checksum.
const SEARCH_BUDGET: usize = 64 * 1024 * 1024;

/// A state that was signed.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) place: String,
    pub(super) state: State,
}

/// Bytes that are no record, of which it is not yet known what follows.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub(super) place: String,
    pub(super) offset: usize,
    pub(super) bytes: usize,
    pub(super) error: FrameError,
    /// The segment has no record after it.
    pub(super) is_last: bool,
}

impl Damage {
    fn detail(&self) -> String {
        format!("byte {}: {}", self.offset, self.error)
    }

    pub(super) fn fault(&self) -> Fault {
        let detail = self.detail();
        match self.error {
            FrameError::CutOff { .. } if self.is_last => Fault::Truncated { detail },
            _ => Fault::Damaged { detail },
        }
    }
}

/// Everything that was read so far.
#[derive(Debug)]
pub(super) struct Scan {
    /// Without it signatures are not looked at.
    pub(super) key: Option<AuditKey>,
    pub(super) origin: Option<Origin>,
    pub(super) runs: Vec<Run>,
    pub(super) findings: Vec<Finding>,
    pub(super) signed: Vec<Signed>,
    /// Records with a checkpoint that is refused.
    pub(super) refused: Vec<u64>,
    pub(super) damage: Option<Damage>,
    pub(super) records: u64,
    /// Records that were passed over and have not turned up, with the segment.
    pub(super) absent: Vec<(String, u64, u64)>,
    /// Records that stood before their place, with the hash that each holds and its own.
    early: BTreeMap<u64, (Hash, Hash)>,
}

impl Scan {
    pub(super) fn new(key: Option<AuditKey>, origin: Option<Origin>) -> Self {
        Self {
            key,
            origin,
            runs: Vec::new(),
            findings: Vec::new(),
            signed: Vec::new(),
            refused: Vec::new(),
            damage: None,
            records: 0,
            absent: Vec::new(),
            early: BTreeMap::new(),
        }
    }

    /// The next record's number, if any was read.
    pub(super) fn next(&self) -> Option<u64> {
        self.runs.last().map(|run| run.next)
    }

    pub(super) fn segment(&mut self, place: &str, bytes: &[u8], each: &mut Each<'_>) {
        let offset = match SegmentHeader::decode(bytes) {
            Ok(header) => {
                if !self.enter(place, &header) {
                    return;
                }
                header.encoded_len()
            }
            Err(error) => {
                let sequence = self.next().unwrap_or(0);
                let detail = error.to_string();
                // An empty file is what a power cut leaves of a segment that was just made.
                let start = self.search(bytes, 0);
                if start.is_none() && matches!(error, crate::segment::SegmentError::CutOff { .. }) {
                    let needed = bytes.len() + 1;
                    let error = FrameError::CutOff { needed, found: bytes.len() };
                    self.damage = Some(Damage {
                        place: place.to_owned(),
                        offset: 0,
                        bytes: bytes.len(),
                        error,
                        is_last: true,
                    });
                    return;
                }
                self.find(place, sequence, sequence, Fault::Header { detail });
                match start {
                    Some(start) => start,
                    None => return,
                }
            }
        };
        self.frames(place, bytes, offset, each);
    }

    /// Takes a header as the continuation of what was read, or as a new beginning. False where the
    /// segment is of another log.
    fn enter(&mut self, place: &str, header: &SegmentHeader) -> bool {
        let origin = self.origin.get_or_insert_with(|| header.origin.clone());
        if *origin != header.origin {
            let sequence = self.next().unwrap_or_else(|| header.first_sequence());
            let origin = header.origin.clone();
            self.find(place, sequence, sequence, Fault::OtherLog { origin });
            return false;
        }
        let genesis = origin.genesis();
        let first = header.first_sequence();
        if first == 0 && header.previous != genesis {
            let detail = "the header does not begin this log".to_owned();
            self.find(place, 0, 0, Fault::Header { detail });
        }
        let Some(run) = self.runs.last_mut() else {
            self.runs.push(Run::begin(place, header, Start::Open));
            return true;
        };
        let next = run.next;
        if first < next {
            // The frames themselves are compared with what is known.
            return true;
        }
        if first == next {
            if let Some(damage) = self.damage.take() {
                let fault = Fault::Inserted { detail: damage.detail() };
                self.find(&damage.place, first, first, fault);
            }
            match self.runs.last_mut().map(|run| run.accepts(place, header)) {
                Some(Continuation::Whole) => return true,
                Some(Continuation::OtherPrevious) => {
                    let detail = "the header holds another hash of the record before it".to_owned();
                    self.find(place, first, first, Fault::Header { detail });
                    return true;
                }
                Some(Continuation::No) | None => {}
            }
        } else {
            self.gap(place, next, first - 1);
        }
        let start = match self.runs.last() {
            Some(run) if first == next && run.tree.is_some() => Start::Broken,
            _ => Start::Open,
        };
        self.end_run();
        self.runs.push(Run::begin(place, header, start));
        true
    }

    pub(super) fn frames(&mut self, place: &str, bytes: &[u8], start: usize, each: &mut Each<'_>) {
        let mut offset = start;
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            match Frame::decode(rest) {
                Ok(decoded) => {
                    offset += decoded.encoded_len();
                    self.frame(place, &decoded, &bytes[offset..], each);
                }
                Err(error) => {
                    let found = self.search(bytes, offset);
                    let end = found.unwrap_or(bytes.len());
                    // Several damaged places in a row are told by the first.
                    let damage = Damage {
                        place: place.to_owned(),
                        offset,
                        bytes: end - offset,
                        error,
                        is_last: found.is_none(),
                    };
                    self.damage.get_or_insert(damage);
                    offset = end;
                }
            }
        }
    }

    /// Where the next record begins after bytes that are none.
    fn search(&self, bytes: &[u8], offset: usize) -> Option<usize> {
        let next = self.next().unwrap_or(0);
        let most = next.saturating_add((bytes.len() / Frame::OVERHEAD) as u64).saturating_add(1);
        let mut budget = SEARCH_BUDGET;
        (offset + 1..bytes.len().saturating_sub(Frame::OVERHEAD - 1)).find(|at| {
            let rest = &bytes[*at..];
            let Some((length, sequence)) = Frame::peek(rest) else { return false };
            if sequence > most || budget < length {
                return false;
            }
            budget -= length;
            Frame::decode(rest).is_ok()
        })
    }

    fn frame(&mut self, place: &str, decoded: &Decoded<'_>, rest: &[u8], each: &mut Each<'_>) {
        let frame = &decoded.frame;
        let sequence = frame.sequence;
        if self.runs.is_empty() {
            let origin = self.origin.as_ref();
            self.runs.push(if sequence == 0 {
                Run::from_genesis(place, origin, frame.previous)
            } else {
                Run::without_tree(place, sequence, frame.previous)
            });
        }
        let Some(next) = self.next() else { return };
        if sequence < next {
            return self.past(place, sequence, decoded.hash());
        }
        if sequence > next {
            if self.damage.is_none() && self.continues(rest) {
                self.early.insert(sequence, (frame.previous, decoded.hash()));
                return self.find(place, sequence, sequence, Fault::OutOfOrder);
            }
            self.skip(place, next, frame);
        } else if let Some(damage) = self.damage.take() {
            let fault = Fault::Inserted { detail: damage.detail() };
            self.find(&damage.place, sequence, sequence, fault);
        }
        if let Some(run) = self.runs.last_mut() {
            let hash = decoded.hash();
            run.link(place, frame.previous);
            run.push(hash);
            self.records += 1;
            each(decoded, hash);
            while let Some((previous, hash)) = self.early.remove(&run.next) {
                run.link(place, previous);
                run.push(hash);
                self.records += 1;
            }
        }
        if frame.kind == Kind::Checkpoint {
            self.checkpoint(place, sequence, frame.payload);
        }
    }

    /// Whether `rest` begins with the record that is expected next.
    fn continues(&self, rest: &[u8]) -> bool {
        let (Some(run), Ok(decoded)) = (self.runs.last(), Frame::decode(rest)) else {
            return false;
        };
        decoded.frame.sequence == run.next && decoded.frame.previous == run.head
    }

    /// Passes over records from `next` to the one before `frame`.
    fn skip(&mut self, place: &str, next: u64, frame: &Frame<'_>) {
        let last = frame.sequence - 1;
        self.gap(place, next, last);
        match self.runs.last_mut() {
            // A single record leaves its hash in the next one.
            Some(run) if last == next => run.push(frame.previous),
            _ => {
                self.end_run();
                self.runs.push(Run::without_tree(place, frame.sequence, frame.previous));
            }
        }
    }

    fn gap(&mut self, place: &str, first: u64, last: u64) {
        if let Some(damage) = self.damage.take() {
            return self.find(&damage.place, first, last, damage.fault());
        }
        self.absent.push((place.to_owned(), first, last));
    }

    /// A record with a number that was passed already.
    fn past(&mut self, place: &str, sequence: u64, hash: Hash) {
        let known = self.runs.iter().rev().find_map(|run| run.leaf(sequence));
        let at = self.absent.iter().position(|(_, a, b)| (*a..=*b).contains(&sequence));
        let fault = match (at, known) {
            (Some(_), Some(known)) if known != hash => Fault::Conflict,
            (Some(at), _) => {
                let (place, first, last) = self.absent.remove(at);
                if first < sequence {
                    self.absent.push((place.clone(), first, sequence - 1));
                }
                if sequence < last {
                    self.absent.push((place, sequence + 1, last));
                }
                Fault::OutOfOrder
            }
            (None, Some(known)) if known == hash => Fault::Repeated,
            (None, _) => Fault::Conflict,
        };
        self.find(place, sequence, sequence, fault);
    }

    fn checkpoint(&mut self, place: &str, sequence: u64, payload: &[u8]) {
        let detail = match SignedCheckpoint::parse(payload) {
            Err(error) => error.to_string(),
            Ok(signed) => match self.verify(&signed) {
                Ok(checkpoint) if checkpoint.size > sequence => {
                    format!("{} records are more than there are before it", checkpoint.size)
                }
                Ok(checkpoint) => {
                    let state = State::of(&checkpoint);
                    return self.signed.push(Signed { place: place.to_owned(), state });
                }
                Err(detail) => detail,
            },
        };
        self.refused.push(sequence);
        self.find(place, sequence, sequence, Fault::Checkpoint { detail });
    }

    /// Verifies a checkpoint as one of this log.
    pub(super) fn verify(&self, signed: &SignedCheckpoint) -> Result<Checkpoint, String> {
        let origin = self.origin.as_ref().unwrap_or(&signed.unverified().origin);
        let verified = match &self.key {
            Some(key) => key.verify(signed, origin),
            None => match signed.unverified() {
                checkpoint if checkpoint.origin == *origin => Ok(checkpoint),
                other => Err(NotSigned::OtherLog {
                    found: other.origin.clone(),
                    expected: origin.clone(),
                }),
            },
        };
        verified.cloned().map_err(|error| error.to_string())
    }

    pub(super) fn end_run(&mut self) {
        if let Some(run) = self.runs.last_mut() {
            run.end();
        }
    }

    pub(super) fn find(&mut self, place: &str, first: u64, last: u64, fault: Fault) {
        finding::add(&mut self.findings, Finding { place: place.to_owned(), first, last, fault });
    }
}
