//! What can be wrong with a segment.

use crate::frame::FrameError;
use crate::origin::NotAnOrigin;
use crate::tree::NotAFrontier;

/// Why bytes are not the header of a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The bytes end inside the header.
    #[error("the segment's header is cut off: {found} bytes are there")]
    CutOff {
        /// Bytes that are there.
        found: usize,
    },
    /// It does not begin as a segment of this format.
    #[error("byte 0: not a segment of format 1")]
    Magic,
    /// The header's length is not that of its fields.
    #[error("byte 8: {0} bytes are not the length of this header")]
    Length(u32),
    /// The checksum is not that of the bytes.
    #[error("the header's checksum does not match its bytes")]
    Checksum,
    /// It names no log.
    #[error("byte 14: {0}")]
    Origin(#[from] NotAnOrigin),
    /// The frontier is not that of a tree of this size.
    #[error("the header's frontier: {0}")]
    Frontier(#[from] NotAFrontier),
}

/// The first frame of a segment that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}, record {sequence}: {fault}")]
pub struct BadFrame {
    /// Where it begins, bytes from the start of the segment.
    pub offset: usize,
    /// The sequence number that is expected there.
    pub sequence: u64,
    /// What is wrong.
    pub fault: FrameFault,
}

impl BadFrame {
    /// Whether the segment ends within it, as one does that is being written to.
    pub fn is_cut_off(&self) -> bool {
        matches!(self.fault, FrameFault::Unreadable(FrameError::CutOff { .. }))
    }
}

/// What can be wrong with a frame in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] FrameError),
    /// It is another record than the one that follows here.
    #[error("the frame is of record {0}")]
    Sequence(u64),
    /// It does not follow the record before it.
    #[error("it holds another hash of the record before it")]
    Previous,
}
