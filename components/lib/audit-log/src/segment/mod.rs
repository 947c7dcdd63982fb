//! A file of a log: a header, and frames one after the other.

mod error;
mod header;

pub use error::{BadFrame, FrameFault, SegmentError};
pub use header::SegmentHeader;

use crate::Hash;
use crate::frame::{Decoded, Frame};

/// The frames of a segment in order, up to the first that is cut off, damaged or does not follow
/// the one before it.
#[derive(Clone, Debug)]
pub struct SegmentReader<'a> {
    bytes: &'a [u8],
    offset: usize,
    sequence: u64,
    previous: Hash,
    has_ended: bool,
}

/// What of a segment can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Records that are good.
    pub records: u64,
    /// Bytes up to the end of the last good frame.
    pub len: usize,
    /// Why the segment does not go on there, if it does not end.
    pub fault: Option<BadFrame>,
}

impl<'a> SegmentReader<'a> {
    /// Reads the header and stands before the first frame.
    pub fn new(bytes: &'a [u8]) -> Result<(SegmentHeader, Self), SegmentError> {
        let header = SegmentHeader::decode(bytes)?;
        let reader = Self {
            bytes,
            offset: header.encoded_len(),
            sequence: header.first_sequence(),
            previous: header.previous,
            has_ended: false,
        };
        Ok((header, reader))
    }

    /// Where the next frame begins, bytes from the start of the segment.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Reads to the end, for cutting the last segment after a power cut.
    pub fn extent(mut self) -> Extent {
        let mut records = 0;
        let fault = loop {
            match self.next() {
                Some(Ok(_)) => records += 1,
                Some(Err(fault)) => break Some(fault),
                None => break None,
            }
        };
        Extent { records, len: self.offset, fault }
    }

    fn read(&self, rest: &'a [u8]) -> Result<(Decoded<'a>, Hash), FrameFault> {
        let decoded = Frame::decode(rest)?;
        if decoded.frame.sequence != self.sequence {
            return Err(FrameFault::Sequence(decoded.frame.sequence));
        }
        if decoded.frame.previous != self.previous {
            return Err(FrameFault::Previous);
        }
        let hash = decoded.hash();
        Ok((decoded, hash))
    }
}

impl<'a> Iterator for SegmentReader<'a> {
    /// The record with its hash.
    type Item = Result<(Decoded<'a>, Hash), BadFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.offset..).filter(|rest| !rest.is_empty())?;
        if self.has_ended {
            return None;
        }
        match self.read(rest) {
            Ok((decoded, hash)) => {
                self.offset += decoded.encoded_len();
                self.sequence += 1;
                self.previous = hash;
                Some(Ok((decoded, hash)))
            }
            Err(fault) => {
                self.has_ended = true;
                Some(Err(BadFrame { offset: self.offset, sequence: self.sequence, fault }))
            }
        }
    }
}
