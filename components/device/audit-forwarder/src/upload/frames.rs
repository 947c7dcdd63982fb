//! Reading records back from the spool. Only records that are durable are read, and nothing else
//! writes to them.

use std::io;
use std::path::Path;

use holdfast_audit_log::segment::SegmentReader;
use holdfast_audit_log::{Hash, Origin};

use crate::start::segments;

/// Records as they are sent: whole frames, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The frames.
    pub bytes: Vec<u8>,
    /// Sequence number after the last.
    pub end: u64,
    /// Hash of the last.
    pub head: Hash,
}

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FramesError {
    /// The file.
    #[error("cannot read {name}: {source}")]
    Io {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The segment is of another log, or damaged before the record.
    #[error("{name}: {reason}")]
    Damaged {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The record is in no segment.
    #[error("record {0} is not in the spool any more")]
    Gone(u64),
}

/// Which records.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Of which log.
    pub log: &'a Origin,
    /// Sequence number of the first.
    pub from: u64,
    /// Sequence number after the last that is durable.
    pub durable: u64,
    /// Most records.
    pub most: u64,
    /// Most bytes; one record is read in any case.
    pub bytes: usize,
}

/// Reads records of one segment.
pub fn read(spool: &Path, wanted: Wanted<'_>) -> Result<Frames, FramesError> {
    let gone = FramesError::Gone(wanted.from);
    let all = segments(spool);
    let segment = all.iter().rev().find(|segment| segment.first <= wanted.from).ok_or(gone)?;
    let name = segment.name();
    let bytes = std::fs::read(spool.join(&name))
        .map_err(|source| FramesError::Io { name: name.clone(), source })?;
    let damaged = |reason: String| FramesError::Damaged { name: name.clone(), reason };
    let (header, mut reader) =
        SegmentReader::new(&bytes).map_err(|error| damaged(error.to_string()))?;
    if header.origin != *wanted.log {
        return Err(damaged(format!("it is of log {}, not {}", header.origin, wanted.log)));
    }
    let last = wanted.durable.min(wanted.from.saturating_add(wanted.most));
    let mut start = None;
    let mut stop = 0;
    let mut frames = Frames { bytes: Vec::new(), end: wanted.from, head: header.previous };
    loop {
        let offset = reader.offset();
        let (decoded, hash) = match reader.next() {
            Some(Ok(found)) => found,
            // What is before the damage is sent.
            Some(Err(_)) if start.is_some() => break,
            Some(Err(fault)) => return Err(damaged(fault.to_string())),
            None => break,
        };
        let sequence = decoded.frame.sequence;
        if sequence < wanted.from {
            continue;
        }
        if sequence >= last {
            break;
        }
        let start = *start.get_or_insert(offset);
        let end = reader.offset();
        if end - start > wanted.bytes && sequence > wanted.from {
            break;
        }
        stop = end;
        (frames.end, frames.head) = (sequence + 1, hash);
    }
    if let Some(sent) = start.and_then(|start| bytes.get(start..stop)) {
        frames.bytes = sent.to_vec();
    }
    if frames.end == wanted.from { Err(FramesError::Gone(wanted.from)) } else { Ok(frames) }
}

#[cfg(test)]
mod tests {
    use holdfast_audit_log::Entry;
    use holdfast_audit_log::frame::{Class, Frame, Kind, Timestamp};

    use super::*;
    use crate::spool::{Folder, Limits, Spool};

    fn origin() -> Origin {
        Origin::new("holdfast/audit/00").unwrap()
    }

    #[test]
    fn records_come_from_the_segment_that_holds_them() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { total: 100_000, segment: 2_000 };
        let (mut spool, _) = Spool::open(Folder::new(folder.path()), limits, origin).unwrap();
        for number in 0..60u8 {
            let (class, kind, time) = (Class::System, Kind::Operation, Timestamp::default());
            spool.append(Entry { class, kind, time, payload: &[number; 100] }).unwrap();
            spool.commit().unwrap();
        }
        assert!(spool.segments().count() > 3);
        let wanted = |from, most, bytes| {
            let log = origin();
            read(folder.path(), Wanted { log: &log, from, durable: 58, most, bytes })
        };
        let mut next = 0;
        while next < 58 {
            let frames = wanted(next, 1000, 1_000_000).unwrap();
            let mut rest = &frames.bytes[..];
            while !rest.is_empty() {
                let decoded = Frame::decode(rest).unwrap();
                assert_eq!(decoded.frame.sequence, next);
                rest = &rest[decoded.encoded_len()..];
                next += 1;
            }
            assert_eq!(frames.end, next);
        }
        assert_eq!(wanted(2, 3, 1_000_000).unwrap().end, 5);
        assert_eq!(wanted(2, 1000, 400).unwrap().bytes.len(), 2 * 168);
        assert_eq!(wanted(2, 1000, 1).unwrap().end, 3, "one in any case");
        assert!(matches!(wanted(58, 1, 1), Err(FramesError::Gone(58))));
        spool.release(30).unwrap();
        assert!(matches!(wanted(0, 1, 1), Err(FramesError::Gone(0))));

        let other = Origin::new("holdfast/audit/01").unwrap();
        let wanted = Wanted { log: &other, from: 40, durable: 58, most: 1, bytes: 1 };
        let error = read(folder.path(), wanted).unwrap_err().to_string();
        assert!(error.contains("of log holdfast/audit/00, not"), "{error}");
    }
}
