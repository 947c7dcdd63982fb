//! What the cloud signs about a log: up to where it has it.

use serde::{Deserialize, Serialize};

/// `typ` of a receipt's header (RFC 7515, section 4.1.9).
pub const RECEIPT_TYPE: &str = "holdfast-audit-receipt";

/// What a receipt states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The log's id.
    pub log: String,
    /// Whose log it is.
    pub device_id: String,
    /// Records that are stored.
    pub size: u64,
    /// Hash of the last, hexadecimal.
    pub head: String,
    /// Root of the tree over them, hexadecimal.
    pub root: String,
    /// When, seconds since 1970.
    pub time: u64,
}
