//! The payload.

use core::fmt;

use serde::{Deserialize, Serialize};

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// USB devices and ports.
    Usb,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Usb => "usb",
        })
    }
}

/// What the cloud says, for one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What it is about.
    pub kind: Kind,
    /// Id that the cloud gave the device.
    pub device_id: String,
    /// Name of the device.
    pub edge_id: String,
    /// Grows with each change of the policy of this device.
    pub version: u64,
    /// When this version was made, seconds since 1970.
    pub issued: u64,
    /// From when on it is taken no more, seconds since 1970. What was taken before stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<u64>,
    /// USB rules, text of the file; without them the device keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// List of USB ports, text of the file; without one the device keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<String>,
}
