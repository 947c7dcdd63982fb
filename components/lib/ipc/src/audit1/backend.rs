//! What the keeper of the log has to do.

use std::future::Future;
use std::os::fd::OwnedFd;

use holdfast_audit_log::AuditRecord;
use holdfast_audit_log::frame::Class;

use crate::CallError;

/// A record as it was handed in, from a sender who may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is about.
    pub class: Class,
    /// The record; its source is the sender's.
    pub record: AuditRecord,
}

/// A part of the log.
#[derive(Debug)]
pub struct Page {
    /// Segments in order, open for reading, each from its start.
    pub segments: Vec<OwnedFd>,
    /// Sequence number to go on with; the log's size where nothing follows.
    pub next: u64,
}

/// The work behind `org.holdfast.Audit1`. Callers are already authorized.
pub trait Audit1Backend: Send + Sync + 'static {
    /// Keeps a record. It is durable when this returns its sequence number; a denied call that is
    /// counted with others of its user has none.
    fn record(&self, record: Record)
    -> impl Future<Output = Result<Option<u64>, CallError>> + Send;

    /// The state of the log as JSON.
    fn status(&self) -> impl Future<Output = Result<String, CallError>> + Send;

    /// Makes everything durable that was handed in, and starts an upload; the log's size.
    fn flush(&self) -> impl Future<Output = Result<u64, CallError>> + Send;

    /// The part of the log that begins with the segment in which this record is.
    fn export(&self, since: u64) -> impl Future<Output = Result<Page, CallError>> + Send;
}
