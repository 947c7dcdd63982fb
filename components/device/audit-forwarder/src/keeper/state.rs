//! What others know of the log.

use std::collections::BTreeMap;

use holdfast_audit_log::{Hash, LossCause, Origin};

use super::LogEngine;
use crate::spool::{Fill, PreviousLog};

/// The log, as of the last write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Which log.
    pub origin: Origin,
    /// Records that are on disk, here or in the cloud already.
    pub size: u64,
    /// Hash of the last of them.
    pub head: Hash,
    /// Sequence number of the oldest that is still here.
    pub first: u64,
    /// Size of the log at the last signed checkpoint since the daemon's start.
    pub signed: Option<u64>,
    /// Bytes in use.
    pub used: u64,
    /// Bytes that may be used.
    pub limit: u64,
    /// How full it is.
    pub fill: Fill,
    /// Records that were lost since the daemon's start, by cause.
    pub lost: BTreeMap<LossCause, u64>,
    /// Why the last write failed, if it did.
    pub write_error: Option<String>,
    /// The log that this one follows.
    pub previous: Option<PreviousLog>,
}

impl State {
    /// The state of an engine's log.
    pub(super) fn of(engine: &LogEngine, write_error: Option<String>) -> Self {
        let spool = engine.spool();
        Self {
            origin: spool.durable().origin().clone(),
            size: spool.durable_size(),
            head: spool.durable().head(),
            first: spool.first_sequence(),
            signed: engine.signed_size(),
            used: spool.used(),
            limit: spool.limits().total,
            fill: spool.fill(),
            lost: engine.lost().clone(),
            write_error,
            previous: spool.previous().cloned(),
        }
    }
}
