//! The log on the device's disk: segments of bounded size in one folder, bounded in all.
//!
//! ```text
//! 00000000000000000000.log      segments, by the sequence number of their first record
//! 00000000000000001873.log
//! 00000000000000001873.log.new  one that is being made
//! 00000000000000000512.damaged  one whose header could not be read
//! carry.json, previous.json     see `carry`
//! ```
//!
//! Only the last segment is written to. What a power cut left of it is cut at the first bad frame
//! when the spool is opened. Records are appended in memory and written by [`Spool::commit`], many
//! at once; only those are uploaded. A commit that fails is taken back as a whole, in memory and on
//! the disk, so that whoever waits for a record of it can be told no.

mod carry;
mod disk;
mod error;
mod limits;
#[cfg(test)]
pub mod simulated;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use holdfast_audit_log::frame::{Class, Frame};
use holdfast_audit_log::segment::SegmentHeader;
use holdfast_audit_log::{Appender, Entry, Origin, Recovered, Text};

use carry::Found;
pub use carry::{Carry, PreviousLog, Refusal};
pub use disk::{Disk, Folder};
pub use error::SpoolError;
pub use limits::{Fill, Limits};

const SUFFIX: &str = ".log";
const NEW: &str = ".log.new";
const DAMAGED: &str = ".damaged";

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number of its first record.
    pub first: u64,
    /// Bytes that are durable.
    pub len: u64,
}

impl Segment {
    /// Its file's name.
    pub fn name(&self) -> String {
        format!("{:020}{SUFFIX}", self.first)
    }

    /// The segment of a file with this name, of unknown length.
    pub fn of_name(name: &str) -> Option<Self> {
        let first = name.strip_suffix(SUFFIX)?.parse().ok()?;
        let segment = Self { first, len: 0 };
        // Each number has one spelling.
        (segment.name() == name).then_some(segment)
    }
}

/// What was found when a spool was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// There was no log; this one has no record yet.
    pub is_new: bool,
    /// What had to be cut off. It belongs into the log as its next record.
    pub recovered: Option<Recovered>,
}

/// Why a record is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No room for records of its class.
    #[error("the spool is full: it holds {used} of {limit} bytes for records of this class")]
    Full {
        /// Bytes in use.
        used: u64,
        /// Bytes that this class may use.
        limit: u64,
    },
    /// It does not fit into a frame.
    #[error("the record has {0} bytes, more than a frame holds")]
    TooLong(usize),
}

/// The log's last state that is on disk, and what was added since.
#[derive(Debug)]
pub struct Spool<D> {
    disk: D,
    limits: Limits,
    /// Never empty.
    segments: VecDeque<Segment>,
    durable: Appender,
    log: Appender,
    pending: Vec<u8>,
    pending_records: u64,
    /// Bytes of a commit that failed may stand behind the last durable record.
    has_leftovers: bool,
    /// Which log this one follows.
    previous: Option<PreviousLog>,
}

impl<D: Disk> Spool<D> {
    /// Opens the folder, repairs what a power cut left, and makes a new log where there is none.
    pub fn open(
        disk: D,
        limits: Limits,
        new_log: impl FnOnce() -> Origin,
    ) -> Result<(Self, Opened), SpoolError> {
        let disk = match carry::carry_over(disk, limits)? {
            Found::CarriedOver(spool) => return Ok((*spool, Opened::default())),
            Found::AsItWas(disk) => disk,
        };
        let (mut spool, opened) = Self::open_log(disk, limits, new_log)?;
        if !opened.is_new {
            spool.previous = carry::previous(&mut spool.disk)?;
        }
        Ok((spool, opened))
    }

    fn open_log(
        mut disk: D,
        limits: Limits,
        new_log: impl FnOnce() -> Origin,
    ) -> Result<(Self, Opened), SpoolError> {
        let mut firsts = Vec::new();
        for name in disk.list()? {
            if name.ends_with(NEW) {
                disk.remove(&name)?;
            } else if let Some(segment) = Segment::of_name(&name) {
                firsts.push(segment.first);
            }
        }
        firsts.sort_unstable();
        let mut opened = Opened::default();
        while let Some(first) = firsts.pop() {
            let name = Segment { first, len: 0 }.name();
            let bytes = disk.read(&name)?;
            let (log, extent) = match Appender::resume(&bytes) {
                Ok(resumed) => resumed,
                Err(error) => {
                    // Made whole by a rename, so this is no power cut. It stays for people to see.
                    disk.rename(&name, &format!("{first:020}{DAMAGED}"))?;
                    let fault = Text::lossy(&format!("{name}: {error}"));
                    opened.recovered = Some(Recovered { bytes: bytes.len() as u64, fault });
                    continue;
                }
            };
            if let Some(fault) = &extent.fault {
                let cut = (bytes.len() - extent.len) as u64;
                disk.truncate(&name, extent.len as u64)?;
                let fault = Text::lossy(&format!("{name}: {fault}"));
                opened.recovered = Some(Recovered { bytes: cut, fault });
            }
            let mut segments = VecDeque::new();
            for first in firsts {
                let mut segment = Segment { first, len: 0 };
                segment.len = disk.len(&segment.name())?;
                segments.push_back(segment);
            }
            segments.push_back(Segment { first, len: extent.len as u64 });
            return Ok((Self::with(disk, limits, segments, log), opened));
        }
        opened.is_new = true;
        let log = Appender::new(new_log());
        let first = begin(&mut disk, &log.segment_header())?;
        Ok((Self::with(disk, limits, VecDeque::from([first]), log), opened))
    }

    fn with(disk: D, limits: Limits, segments: VecDeque<Segment>, log: Appender) -> Self {
        Self {
            disk,
            limits,
            segments,
            durable: log.clone(),
            log,
            pending: Vec::new(),
            pending_records: 0,
            has_leftovers: false,
            previous: None,
        }
    }

    /// The log with everything that was appended.
    pub fn log(&self) -> &Appender {
        &self.log
    }

    /// Number of records that are on disk.
    pub fn durable_size(&self) -> u64 {
        self.durable.size()
    }

    /// The log as it is on disk.
    pub fn durable(&self) -> &Appender {
        &self.durable
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }

    /// Sequence number of the oldest record on this disk.
    pub fn first_sequence(&self) -> u64 {
        self.segments.front().map_or(0, |segment| segment.first)
    }

    /// Bytes that wait for a commit.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum::<u64>() + self.pending.len() as u64
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        self.limits.fill(self.used())
    }

    /// Adds a record; it is on disk after the next [`Self::commit`].
    pub fn append(&mut self, entry: Entry<'_>) -> Result<u64, Refused> {
        let len = Frame::OVERHEAD + entry.payload.len();
        let (used, limit) = (self.used(), self.limits.of(entry.class));
        if used + len as u64 > limit {
            return Err(Refused::Full { used, limit });
        }
        let appended = self.log.append(entry, &mut self.pending);
        let sequence = appended.map_err(|_| Refused::TooLong(entry.payload.len()))?;
        self.pending_records += 1;
        Ok(sequence)
    }

    /// Whether a record of this class and length has room.
    pub fn has_room(&self, class: Class, payload: usize) -> bool {
        self.used() + (Frame::OVERHEAD + payload) as u64 <= self.limits.of(class)
    }

    /// Writes what was appended, and waits until it is on disk. Where that fails, nothing of it is
    /// in the log any more: the error says how many records that are.
    pub fn commit(&mut self) -> Result<(), SpoolError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        match self.write() {
            Ok(()) => {
                self.durable = self.log.clone();
                self.pending.clear();
                self.pending_records = 0;
                Ok(())
            }
            Err(error) => {
                let records = std::mem::take(&mut self.pending_records);
                self.log = self.durable.clone();
                self.pending.clear();
                self.has_leftovers = true;
                // Where this fails too, the next write begins with it.
                let _ = self.cut_leftovers();
                Err(SpoolError::Commit { records, cause: Box::new(error) })
            }
        }
    }

    fn cut_leftovers(&mut self) -> Result<(), SpoolError> {
        if let Some(last) = self.segments.back().filter(|_| self.has_leftovers) {
            self.disk.truncate(&last.name(), last.len)?;
            self.has_leftovers = false;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), SpoolError> {
        self.cut_leftovers()?;
        let is_full = |segment: &Segment| segment.len >= self.limits.segment;
        if self.segments.back().is_none_or(is_full) {
            let segment = begin(&mut self.disk, &self.durable.segment_header())?;
            self.segments.push_back(segment);
        }
        let Some(last) = self.segments.back_mut() else { return Ok(()) };
        self.disk.append(&last.name(), last.len, &self.pending)?;
        last.len += self.pending.len() as u64;
        Ok(())
    }

    /// Deletes segments whose records the cloud has: those below `size`. The one that is written to
    /// stays.
    pub fn release(&mut self, size: u64) -> Result<(), SpoolError> {
        while let [oldest, next, ..] = [self.segments.front(), self.segments.get(1)]
            && let (Some(oldest), Some(next)) = (oldest, next)
            && next.first <= size
        {
            self.disk.remove(&oldest.name())?;
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Begins another log, after one that the cloud does not go on with, and takes over into it what
    /// the cloud has not got. Where that fails, it is done when the spool is opened again; this one
    /// is of no more use.
    pub fn replace(mut self, origin: &Origin, carry: &Carry) -> Result<Self, SpoolError> {
        self.commit()?;
        carry::mark(&mut self.disk, origin, carry)?;
        match carry::carry_over(self.disk, self.limits)? {
            Found::CarriedOver(spool) => Ok(*spool),
            Found::AsItWas(_) => Err(SpoolError::Io {
                act: "find",
                path: "the note of what to carry over".to_owned(),
                source: std::io::ErrorKind::NotFound.into(),
            }),
        }
    }

    /// Which log this one follows, where it follows one.
    pub fn previous(&self) -> Option<&PreviousLog> {
        self.previous.as_ref()
    }

    /// Its bounds.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The folder, for reading.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    #[cfg(test)]
    pub(crate) fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }
}

/// Makes a segment that begins after a log's last durable record.
fn begin(disk: &mut impl Disk, header: &SegmentHeader) -> Result<Segment, SpoolError> {
    let bytes = header.encode();
    let segment = Segment { first: header.first_sequence(), len: bytes.len() as u64 };
    disk.create(&segment.name(), &bytes)?;
    Ok(segment)
}
