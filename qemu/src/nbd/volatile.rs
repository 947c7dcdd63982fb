use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;

use super::SECTOR;
use super::recording::{EventKind, Recorder};
use super::store::{OverlayStore, Store};
use crate::Rng;

/// When a write is certain to outlive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After the next flush.
    AtFlush,
    /// As soon as it is answered (forced unit access).
    AtOnce,
}

/// What a guest has asked of its disk so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Read requests.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Write, discard and write-zeroes requests.
    pub writes: u64,
    /// Bytes of data written.
    pub written_bytes: u64,
    /// Flush requests.
    pub flushes: u64,
}

/// What a power cut did to the writes since the last flush.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CutReport {
    /// Writes that a flush or forced unit access had not made durable.
    pub at_risk: usize,
    /// Of these, written as a whole.
    pub kept: usize,
    /// Of these, written in some sectors only.
    pub torn: usize,
    /// Of these, not written.
    pub lost: usize,
}

impl fmt::Display for CutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_risk, kept, torn, lost } = self;
        write!(f, "{at_risk} writes since the last flush: {kept} kept, {torn} torn, {lost} lost")
    }
}

#[derive(Debug, Clone)]
struct Pending {
    offset: u64,
    length: u64,
    /// `None` writes zeroes.
    data: Option<Vec<u8>>,
    durability: Durability,
}

/// Which pending write the bytes up to `end` come from.
#[derive(Debug, Clone, Copy)]
struct Extent {
    end: u64,
    sequence: u64,
}

/// A disk with a write cache: a [`Store`] and the writes that no flush has made durable yet.
///
/// The cache is bounded like a real one. When it is full its oldest writes go to the store; a disk
/// may do so at any time.
#[derive(Debug)]
pub struct VolatileDisk<S> {
    store: S,
    pending: VecDeque<Pending>,
    /// The sequence number of the first pending write.
    first: u64,
    /// Disjoint ranges by start: where reads find their newest data.
    newest: BTreeMap<u64, Extent>,
    held_bytes: u64,
    capacity: u64,
    counters: Counters,
    recorder: Option<Recorder>,
}

/// Enough to hold what a guest writes between two flushes, but for bulk copies.
const CAPACITY: u64 = 256 << 20;
/// A write is torn into at most this many pieces, so that a discard of a whole disk stays cheap.
const TORN_PIECES: u64 = 64;

impl<S: Store> VolatileDisk<S> {
    /// A disk whose content is `store`.
    pub fn new(store: S) -> Self {
        Self {
            store,
            pending: VecDeque::new(),
            first: 0,
            newest: BTreeMap::new(),
            held_bytes: 0,
            capacity: CAPACITY,
            counters: Counters::default(),
            recorder: None,
        }
    }

    /// Holds at most `bytes` of unflushed data.
    #[must_use]
    pub fn with_capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// Records every write and flush from here on.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Option<Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.store.size()
    }

    /// What was asked of this disk so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Fills `buffer` from `offset` with the newest content.
    pub fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = self.end_of(offset, buffer.len() as u64)?;
        self.counters.reads += 1;
        self.counters.read_bytes += buffer.len() as u64;
        self.store.read_at(offset, buffer)?;
        for (start, extent) in overlapping(&self.newest, offset, end) {
            let from = start.max(offset);
            let to = extent.end.min(end);
            let target = &mut buffer[distance(offset, from)..distance(offset, to)];
            let pending = &self.pending[distance(self.first, extent.sequence)];
            match &pending.data {
                Some(data) => target.copy_from_slice(
                    &data[distance(pending.offset, from)..distance(pending.offset, to)],
                ),
                None => target.fill(0),
            }
        }
        Ok(())
    }

    /// Writes `data` at `offset`.
    pub fn write(&mut self, offset: u64, data: Vec<u8>, durability: Durability) -> io::Result<()> {
        self.end_of(offset, data.len() as u64)?;
        self.record(EventKind::Write(durability), offset, data.len() as u64, &data)?;
        self.counters.writes += 1;
        self.counters.written_bytes += data.len() as u64;
        let length = data.len() as u64;
        self.push(Pending { offset, length, data: Some(data), durability })
    }

    /// Makes a range read as zeroes.
    pub fn zero(&mut self, offset: u64, length: u64, durability: Durability) -> io::Result<()> {
        self.end_of(offset, length)?;
        self.record(EventKind::Zero(durability), offset, length, &[])?;
        self.counters.writes += 1;
        self.push(Pending { offset, length, data: None, durability })
    }

    /// Discards a range. Its content is zeroes afterwards, and like any write a discard can be lost.
    pub fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.end_of(offset, length)?;
        self.record(EventKind::Discard, offset, length, &[])?;
        self.counters.writes += 1;
        self.push(Pending { offset, length, data: None, durability: Durability::AtFlush })
    }

    /// Makes every write so far durable.
    pub fn flush(&mut self) -> io::Result<()> {
        self.record(EventKind::Flush, 0, 0, &[])?;
        self.counters.flushes += 1;
        self.settle()
    }

    /// Cuts the power: durable writes stay, each other one stays, goes or is torn at random.
    ///
    /// How many stay differs from cut to cut, so that "all but one" and "hardly any" both occur.
    pub fn cut(&mut self, rng: &mut Rng) -> io::Result<CutReport> {
        const KEPT_PERCENT: [u64; 6] = [0, 10, 50, 50, 90, 100];
        let choice = distance(0, rng.below(KEPT_PERCENT.len() as u64));
        let percent = KEPT_PERCENT[choice];
        let mut report = CutReport::default();
        self.newest.clear();
        self.held_bytes = 0;
        while let Some(write) = self.pending.pop_front() {
            self.first += 1;
            if write.durability == Durability::AtOnce {
                apply(&mut self.store, &write, write.offset, write.offset + write.length)?;
                continue;
            }
            report.at_risk += 1;
            let torn = write.length > SECTOR && rng.chance(10);
            if torn {
                report.torn += 1;
                apply_torn(&mut self.store, &write, rng)?;
            } else if rng.chance(percent) {
                report.kept += 1;
                apply(&mut self.store, &write, write.offset, write.offset + write.length)?;
            } else {
                report.lost += 1;
            }
        }
        Ok(report)
    }

    /// Moves every pending write to the store, as a disk does when it is left powered.
    pub fn settle(&mut self) -> io::Result<()> {
        self.newest.clear();
        self.held_bytes = 0;
        while let Some(write) = self.pending.pop_front() {
            self.first += 1;
            apply(&mut self.store, &write, write.offset, write.offset + write.length)?;
        }
        Ok(())
    }

    /// The content that is certain to outlive a power cut now, but for forced-unit-access writes.
    pub fn store(&self) -> &S {
        &self.store
    }

    fn end_of(&self, offset: u64, length: u64) -> io::Result<u64> {
        offset.checked_add(length).filter(|end| *end <= self.store.size()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "beyond the end of the disk")
        })
    }

    fn record(&mut self, kind: EventKind, offset: u64, length: u64, data: &[u8]) -> io::Result<()> {
        match &mut self.recorder {
            Some(recorder) => recorder.append(kind, offset, length, data),
            None => Ok(()),
        }
    }

    fn push(&mut self, write: Pending) -> io::Result<()> {
        let (start, end) = (write.offset, write.offset + write.length);
        if start == end {
            return Ok(());
        }
        let sequence = self.first + self.pending.len() as u64;
        self.held_bytes += write.data.as_ref().map_or(0, |data| data.len() as u64);
        self.pending.push_back(write);
        carve(&mut self.newest, start, end);
        self.newest.insert(start, Extent { end, sequence });
        while self.held_bytes > self.capacity {
            self.destage_oldest()?;
        }
        Ok(())
    }

    fn destage_oldest(&mut self) -> io::Result<()> {
        let Some(write) = self.pending.front() else { return Ok(()) };
        let (start, end) = (write.offset, write.offset + write.length);
        apply(&mut self.store, write, start, end)?;
        self.held_bytes -= write.data.as_ref().map_or(0, |data| data.len() as u64);
        let sequence = self.first;
        let stale: Vec<u64> = overlapping(&self.newest, start, end)
            .filter(|(_, extent)| extent.sequence == sequence)
            .map(|(start, _)| start)
            .collect();
        for start in stale {
            self.newest.remove(&start);
        }
        self.pending.pop_front();
        self.first += 1;
        Ok(())
    }
}

impl VolatileDisk<OverlayStore> {
    /// An independent copy of this disk; it records nothing.
    pub(super) fn fork(&self) -> io::Result<Self> {
        Ok(Self {
            store: self.store.fork()?,
            pending: self.pending.clone(),
            newest: self.newest.clone(),
            recorder: None,
            ..*self
        })
    }
}

/// Writes the part of `write` that lies in `from..to`.
fn apply(store: &mut impl Store, write: &Pending, from: u64, to: u64) -> io::Result<()> {
    match &write.data {
        Some(data) => {
            store.write_at(from, &data[distance(write.offset, from)..distance(write.offset, to)])
        }
        None => store.zero_at(from, to - from),
    }
}

fn apply_torn(store: &mut impl Store, write: &Pending, rng: &mut Rng) -> io::Result<()> {
    let (start, end) = (write.offset, write.offset + write.length);
    let first = start / SECTOR;
    let sectors = end.div_ceil(SECTOR) - first;
    let pieces = sectors.min(TORN_PIECES);
    for piece in 0..pieces {
        let from = ((first + sectors * piece / pieces) * SECTOR).max(start);
        let to = ((first + sectors * (piece + 1) / pieces) * SECTOR).min(end);
        if rng.chance(50) {
            apply(store, write, from, to)?;
        }
    }
    Ok(())
}

/// The extents that share a byte with `start..end`, last first.
fn overlapping(
    extents: &BTreeMap<u64, Extent>,
    start: u64,
    end: u64,
) -> impl Iterator<Item = (u64, Extent)> + '_ {
    extents
        .range(..end)
        .rev()
        .map(|(start, extent)| (*start, *extent))
        .take_while(move |(_, extent)| extent.end > start)
}

/// Removes `start..end` from the extents.
fn carve(extents: &mut BTreeMap<u64, Extent>, start: u64, end: u64) {
    let affected: Vec<(u64, Extent)> = overlapping(extents, start, end).collect();
    for (at, extent) in affected {
        extents.remove(&at);
        if at < start {
            extents.insert(at, Extent { end: start, ..extent });
        }
        if extent.end > end {
            extents.insert(end, extent);
        }
    }
}

/// `to - from` where both lie in one buffer or queue.
fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "volatile_tests.rs"]
mod tests;
