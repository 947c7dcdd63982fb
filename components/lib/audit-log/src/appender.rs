//! The writing end of a log.

use crate::checkpoint::{BootBinding, Checkpoint};
use crate::frame::{Class, Frame, FrameError, Kind, Timestamp};
use crate::segment::{Extent, SegmentHeader, SegmentReader};
use crate::tree::Frontier;
use crate::{Hash, Origin};

/// A record that is still without its place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What it is about.
    pub class: Class,
    /// What the payload is.
    pub kind: Kind,
    /// When it was made.
    pub time: Timestamp,
    /// 0 to [`Frame::MAX_PAYLOAD`] bytes.
    pub payload: &'a [u8],
}

/// All of a log that its writer needs: about 2 KiB, whatever the log's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appender {
    origin: Origin,
    head: Hash,
    frontier: Frontier,
}

impl Appender {
    /// A log without records.
    pub fn new(origin: Origin) -> Self {
        Self::at(SegmentHeader::first(origin))
    }

    /// Goes on before the first record of a segment.
    pub fn at(header: SegmentHeader) -> Self {
        let SegmentHeader { origin, previous, frontier } = header;
        Self { origin, head: previous, frontier }
    }

    /// Goes on after the last good frame of a segment, and says where that ends.
    pub fn resume(segment: &[u8]) -> Result<(Self, Extent), crate::segment::SegmentError> {
        let (header, reader) = SegmentReader::new(segment)?;
        let mut log = Self::at(header);
        for (_, hash) in reader.clone().flatten() {
            log.head = hash;
            log.frontier.push(hash);
        }
        Ok((log, reader.extent()))
    }

    /// Which log.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Number of records, which is the next one's sequence number.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Hash of the last record; [`Origin::genesis`] where there is none.
    pub fn head(&self) -> Hash {
        self.head
    }

    /// Adds a record: appends its frame to `out` and returns its sequence number.
    pub fn append(&mut self, entry: Entry<'_>, out: &mut Vec<u8>) -> Result<u64, FrameError> {
        let Entry { class, kind, time, payload } = entry;
        let sequence = self.size();
        let frame = Frame { sequence, class, kind, time, previous: self.head, payload };
        self.head = frame.encode(out)?;
        self.frontier.push(self.head);
        Ok(sequence)
    }

    /// The header of a segment that begins with the next record.
    pub fn segment_header(&self) -> SegmentHeader {
        SegmentHeader {
            origin: self.origin.clone(),
            previous: self.head,
            frontier: self.frontier.clone(),
        }
    }

    /// The log as it is now, to be signed; the first time in a boot with what binds it to the TPM.
    pub fn checkpoint(&self, boot: Option<BootBinding>) -> Checkpoint {
        Checkpoint {
            origin: self.origin.clone(),
            size: self.size(),
            root: self.frontier.root(),
            head: self.head,
            boot,
        }
    }
}
