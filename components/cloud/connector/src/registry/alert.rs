//! What an operator must look at.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::NewEvent;

/// Events of severity alert that have subject and reason in common, until they are acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Names it when it is acknowledged.
    pub id: i64,
    /// When it happened first.
    #[serde(with = "time::serde::rfc3339")]
    pub first_at: OffsetDateTime,
    /// When it happened last.
    #[serde(with = "time::serde::rfc3339")]
    pub last_at: OffsetDateTime,
    /// How often it happened.
    pub count: u64,
    /// The last time, in full.
    pub event: NewEvent,
    /// When somebody took note of it; none: it is open.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub acknowledged_at: Option<OffsetDateTime>,
    /// Who.
    pub acknowledged_by: Option<String>,
}
