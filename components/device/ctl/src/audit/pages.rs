//! Segments as the audit daemon hands them over.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use holdfast_audit_log::Hash;
use holdfast_audit_log::frame::Decoded;
use holdfast_audit_log::segment::SegmentReader;
use holdfast_ipc::audit1::Audit1Proxy;
use zbus::Connection;

use crate::service::Service;
use crate::{Code, Failure};

/// A segment has 1 MiB; the last record may go beyond.
const LONGEST: u64 = 4 * 1024 * 1024;

/// A segment's bytes, up to the end of its last whole record.
pub(crate) struct Segment {
    /// Sequence number of its first record.
    pub(crate) first: u64,
    /// Header and frames.
    pub(crate) bytes: Vec<u8>,
}

impl Segment {
    /// Its file's name, as in the spool.
    pub(crate) fn name(&self) -> String {
        format!("{:020}.log", self.first)
    }

    /// Does something with each record. What cannot be read is told on standard error; whether there
    /// was nothing of that kind.
    pub(crate) fn each(
        &self,
        mut act: impl FnMut(&Decoded<'_>, Hash) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let (_, records) = SegmentReader::new(&self.bytes).map_err(|error| unreadable(&error))?;
        for record in records {
            match record {
                Ok((decoded, hash)) => act(&decoded, hash)?,
                Err(fault) => {
                    // Standard error that cannot be written to is no reason to end.
                    let _ = writeln!(
                        std::io::stderr(),
                        "{}: {fault}; it and what follows in this segment is left out",
                        self.name()
                    );
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Goes through the log from a record on.
pub(crate) struct Pages<'b> {
    proxy: Audit1Proxy<'b>,
    next: u64,
    /// One more than the first record of the last segment that was given.
    seen: u64,
}

impl<'b> Pages<'b> {
    /// Begins with the segment that holds this record, or the oldest that is there.
    pub(crate) async fn since(bus: &'b Connection, sequence: u64) -> Result<Self, Failure> {
        Ok(Self { proxy: Audit1Proxy::new(bus).await?, next: sequence, seen: 0 })
    }

    /// The next segments; none where the log ends. Each look at the log adds a record to it, so that
    /// its last segment would come again and again: it comes once.
    pub(crate) async fn next(&mut self) -> Result<Vec<Segment>, Failure> {
        let answer = self.proxy.export(self.next).await;
        let (files, next) = answer.map_err(|error| Service::AUDIT.failure(error))?;
        self.next = next;
        let segments = files.into_iter().map(|file| read(OwnedFd::from(file)));
        let mut segments = segments.collect::<Result<Vec<_>, _>>()?;
        segments.retain(|segment| segment.first >= self.seen);
        self.seen = segments.last().map_or(self.seen, |last| last.first + 1);
        Ok(segments)
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Failed, format!("a segment of the log cannot be read: {error}"))
        .advise("`holdfast audit verify` says which.")
}

fn read(file: OwnedFd) -> Result<Segment, Failure> {
    let mut bytes = Vec::new();
    File::from(file).take(LONGEST).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    let (header, reader) = SegmentReader::new(&bytes).map_err(|error| unreadable(&error))?;
    let first = header.first_sequence();
    // The last segment is being written to: half a record at its end is none yet.
    let extent = reader.extent();
    if extent.fault.as_ref().is_some_and(holdfast_audit_log::segment::BadFrame::is_cut_off) {
        bytes.truncate(extent.len);
    }
    Ok(Segment { first, bytes })
}
