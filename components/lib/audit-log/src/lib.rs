//! The audit record: one entry per operation that somebody asked of the device or of the cloud.
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
#![forbid(unsafe_code)]

mod action;
mod actor;
mod arguments;
mod error;
mod record;
mod source;
mod text;

pub use action::Action;
pub use actor::{Actor, ActorKind};
pub use arguments::ArgumentsDigest;
pub use error::Error;
pub use record::{AuditRecord, Decision, Outcome};
pub use source::Source;
pub use text::Text;
