//! Audit records, and the tamper-evident log that they are kept in.
//!
//! A value of [`AuditRecord`] is always valid and bounded: every field is checked when it is made
//! and again when it is read, so a record of at most [`AuditRecord::MAX_JSON_BYTES`] bytes can be
//! stored, sent and shown without further checks. No I/O, no clock.
//!
//! ```
//! use holdfast_audit_log::{Action, Actor, AuditRecord, Source, Text};
//! use time::macros::datetime;
//!
//! let record = AuditRecord::new(
//!     datetime!(2025-11-22 10:00 UTC),
//!     Source::device("enroller")?,
//!     Actor::user(1000).with_login_uid(1000),
//!     Action::new("identity.sign")?,
//!     Text::new("tls")?,
//! )
//! .with_arguments(&[b"rsa-pss-sha256", &[0; 32]])
//! .denied(Text::new("role holdfast-operator is missing")?);
//! assert_eq!(AuditRecord::from_json(&record.to_json()?)?, record);
//! # Ok::<(), holdfast_audit_log::Error>(())
//! ```
//!
//! A log is a row of [`frame`]s in [`segment`]s. Each frame holds the hash of the one before it,
//! the same hashes are the leaves of a Merkle [`tree`], and signed [`checkpoint`]s name its root
//! from time to time. With the feature `verifier`, `verify` judges a whole log and names every
//! record that was changed. [`export`] writes records as the tools of the Linux audit system read them.
//!
//! ```
//! use holdfast_audit_log::frame::{Class, Kind, Timestamp};
//! use holdfast_audit_log::segment::SegmentReader;
//! use holdfast_audit_log::{Appender, Entry, Origin};
//!
//! let mut log = Appender::new(Origin::new("holdfast.example/audit/3f9a")?);
//! let mut segment = log.segment_header().encode();
//! let time = Timestamp::default();
//! log.append(Entry { class: Class::System, kind: Kind::Boot, time, payload: b"{}" }, &mut segment)?;
//!
//! let (_, records) = SegmentReader::new(&segment)?;
//! assert_eq!(records.extent().records, 1);
//! assert_eq!(log.checkpoint(None).size, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod action;
mod actor;
mod appender;
mod arguments;
pub mod checkpoint;
mod error;
pub mod export;
pub mod frame;
mod hash;
pub mod kernel;
mod notice;
mod origin;
mod reader;
mod receipt;
mod record;
pub mod segment;
pub mod show;
mod source;
mod text;
pub mod tree;
#[cfg(feature = "verifier")]
pub mod verify;

pub use action::Action;
pub use actor::{Actor, ActorKind};
pub use appender::{Appender, Entry};
pub use arguments::ArgumentsDigest;
pub use error::Error;
pub use hash::Hash;
pub use notice::{Boot, ClockStep, Loss, LossCause, Recovered};
pub use origin::{NotAnOrigin, Origin};
pub use receipt::{RECEIPT_TYPE, Receipt};
pub use record::{AuditRecord, Decision, Outcome};
pub use source::Source;
pub use text::Text;
