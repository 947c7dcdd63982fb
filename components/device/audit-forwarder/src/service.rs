//! The work behind `org.holdfast.Audit1`; who may ask for it is decided before it gets here.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use holdfast_audit_log::AuditRecord;
use holdfast_audit_log::frame::Class;
use holdfast_ipc::audit::{AuditError, Recorded};
use holdfast_ipc::audit1::{Audit1Backend, Page, Record};
use holdfast_ipc::{AuditSink, CallError, ErrorKind};
use tokio::sync::{Notify, watch};

use crate::engine::Kept;
use crate::keeper::Keeper;
use crate::signer::AuditKey;
use crate::start::segments;
use crate::status;
use crate::upload::UploadStatus;

/// Segments of one answer: a message of the bus carries 16 file descriptors at least.
const SEGMENTS: usize = 16;

/// The daemon's side of the bus interface.
#[derive(Debug)]
pub struct Service {
    /// The spool's folder.
    pub spool: PathBuf,
    /// Who writes the log.
    pub keeper: Keeper,
    /// Starts an upload.
    pub upload_now: Arc<Notify>,
    /// How uploads go.
    pub upload: watch::Receiver<UploadStatus>,
    /// What verifies checkpoints.
    pub key: watch::Receiver<Option<AuditKey>>,
}

impl Audit1Backend for Service {
    async fn record(&self, record: Record) -> Result<Option<u64>, CallError> {
        match self.keeper.record(record).await {
            Kept::As(sequence) => Ok(Some(sequence)),
            Kept::Counted => Ok(None),
            Kept::Not(why) => Err(CallError::new(
                ErrorKind::AuditUnavailable,
                format!("the record is not in the log: {why}; `holdfast audit status` says more"),
            )),
        }
    }

    async fn status(&self) -> Result<String, CallError> {
        let log = self.keeper.state().borrow().clone();
        let upload = self.upload.borrow().clone();
        let key = self.key.borrow().as_ref().map(|key| key.spki.clone());
        status::json(&log, &upload, key.as_deref()).map_err(|error| failed(&error))
    }

    async fn flush(&self) -> Result<u64, CallError> {
        let size = self.keeper.flush().await.map_err(|error| failed(&error))?;
        self.upload_now.notify_one();
        Ok(size)
    }

    async fn export(&self, since: u64) -> Result<Page, CallError> {
        // What is in memory still belongs to what was asked for.
        let size = self.keeper.flush().await.map_err(|error| failed(&error))?;
        if since >= size {
            return Ok(Page { segments: Vec::new(), next: size });
        }
        let all = segments(&self.spool);
        // Older ones are gone: the connector has them.
        let start = all.iter().rposition(|segment| segment.first <= since).unwrap_or(0);
        let wanted = &all[start.min(all.len())..];
        let (given, rest) = wanted.split_at(wanted.len().min(SEGMENTS));
        let mut files = Vec::with_capacity(given.len());
        for segment in given {
            match File::open(self.spool.join(segment.name())) {
                Ok(file) => files.push(OwnedFd::from(file)),
                // Uploaded and deleted meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&format!("cannot open a segment: {error}"))),
            }
        }
        let next = rest.first().map_or(size, |segment| segment.first);
        Ok(Page { segments: files, next })
    }
}

fn failed(error: &dyn std::fmt::Display) -> CallError {
    CallError::new(ErrorKind::Failed, error.to_string())
}

/// Records of what this daemon itself is asked for.
#[derive(Debug)]
pub struct OwnSink(pub Keeper);

impl AuditSink for OwnSink {
    fn record<'a>(&'a self, record: &'a AuditRecord) -> Recorded<'a> {
        Box::pin(async move {
            let record = Record { class: Class::Log, record: record.clone() };
            match self.0.record(record).await {
                Kept::As(_) | Kept::Counted => Ok(()),
                Kept::Not(why) => Err(AuditError::new("the audit log", &why)),
            }
        })
    }
}
