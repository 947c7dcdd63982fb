//! The audit logs of devices: what of an upload is believed, where it lies, and how it is found
//! again. The server's own audit records are elsewhere ([`crate::store::StoredAuditRecord`]).
//!
//! A log is kept as its device made it, frame by frame, in batches of the size of the uploads. The
//! index in the store knows per batch what it is about; there is no row per record.

mod batch;
mod content;
mod export;
mod ingest;
mod judge;
mod log;
mod objects;
mod search;
mod stored;

pub use batch::{Batch, Record};
pub use content::{Summary, Users, summary_of, users_of};
pub use export::Export;
pub use ingest::{DeviceAudit, DeviceAuditError, Ingested, Upload};
pub use judge::{Appended, CheckpointFault, Past, Point, Refusal, Subject, Verdict, judge};
pub use log::{BatchContent, LogId, LogIdError, LogState, Position};
pub use objects::{ObjectError, Objects};
pub use search::{Cursor, CursorError, FoundRecord, Search, SearchPage, name_of};
pub use stored::{BatchPage, BatchQuery, NewBatch, NewLog, PreviousLog, StoredBatch, StoredLog};
