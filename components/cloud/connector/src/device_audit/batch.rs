//! An upload, read but not yet compared with what is stored.

use holdfast_audit_log::Hash;
use holdfast_audit_log::frame::Frame;
use holdfast_audit_log::segment::{BadFrame, FrameFault};

/// Whole frames, one after the other, each of which follows the one before it.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    records: Vec<Record<'a>>,
}

/// A record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The record.
    pub frame: Frame<'a>,
    /// Its hash.
    pub hash: Hash,
    /// Where its frame begins, bytes from the start of the batch.
    pub offset: usize,
}

impl<'a> Batch<'a> {
    /// Reads a batch whose first record has the number `first`. There is at least one.
    pub fn parse(first: u64, bytes: &'a [u8]) -> Result<Self, BadFrame> {
        let mut records: Vec<Record<'a>> = Vec::new();
        let (mut offset, mut sequence) = (0, first);
        loop {
            let bad = |fault| BadFrame { offset, sequence, fault };
            let decoded = Frame::decode(&bytes[offset..]).map_err(|e| bad(e.into()))?;
            let frame = decoded.frame;
            if frame.sequence != sequence {
                return Err(bad(FrameFault::Sequence(frame.sequence)));
            }
            if records.last().is_some_and(|before| frame.previous != before.hash) {
                return Err(bad(FrameFault::Previous));
            }
            records.push(Record { frame, hash: decoded.hash(), offset });
            offset += decoded.encoded_len();
            if offset == bytes.len() {
                return Ok(Self { records });
            }
            // A number that cannot be is met by no frame.
            sequence = sequence.saturating_add(1);
        }
    }

    /// The records.
    pub fn records(&self) -> &[Record<'a>] {
        &self.records
    }
}
