//! Records that the log makes about itself and its device.

use serde::{Deserialize, Serialize};

use crate::{Error, Text};

/// How records were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossCause {
    /// The kernel's own count of lost messages rose (`AUDIT_GET`, `lost`).
    KernelLost,
    /// Serial numbers of the kernel are missing.
    SerialGap,
    /// The socket's buffer overflowed (`ENOBUFS`).
    SocketOverflow,
    /// The spool was full, or nearly and the class not critical.
    SpoolFull,
    /// The disk did not take them.
    WriteFailed,
    /// The daemon could not keep up with the kernel.
    QueueFull,
    /// A message was longer than any that the kernel sends.
    Oversize,
    /// Refused calls of one user, told by number.
    Coalesced,
}

/// Records that are not in the log, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Why.
    pub cause: LossCause,
    /// How many; for serial numbers, events.
    pub count: u64,
    /// First serial number that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_serial: Option<u32>,
    /// Last serial number that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_serial: Option<u32>,
    /// Whose calls were only counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
}

impl Loss {
    /// So many records.
    pub const fn new(cause: LossCause, count: u64) -> Self {
        Self { cause, count, first_serial: None, last_serial: None, uid: None }
    }
}

/// A segment was cut at its first bad frame when it was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovered {
    /// Bytes that were cut off.
    pub bytes: u64,
    /// What was wrong with the first of them.
    pub fault: Text<256>,
}

/// A start of the device and what started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Text<64>,
    /// Image that runs.
    pub release: Text<128>,
    /// Kernel's release.
    pub kernel: Text<128>,
    /// Firmware's vendor and version.
    pub firmware: Text<256>,
}

/// The real-time clock was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockStep {
    /// What it would have shown, nanoseconds since 1970.
    pub before_ns: u64,
    /// What it shows, nanoseconds since 1970.
    pub after_ns: u64,
}

macro_rules! json {
    ($($notice:ty),*) => {$(
        impl $notice {
            /// The payload of its record.
            pub fn to_json(&self) -> Result<String, Error> {
                Ok(serde_json::to_string(self)?)
            }

            /// Reads the payload of its record.
            pub fn from_json(json: &[u8]) -> Result<Self, Error> {
                Ok(serde_json::from_slice(json)?)
            }
        }
    )*};
}

json!(Loss, Recovered, Boot, ClockStep);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_forms() {
        let loss = Loss {
            cause: LossCause::SerialGap,
            count: 3,
            first_serial: Some(5),
            last_serial: Some(7),
            uid: None,
        };
        let json = r#"{"cause":"serial-gap","count":3,"first_serial":5,"last_serial":7}"#;
        assert_eq!(loss.to_json().unwrap(), json);
        assert_eq!(Loss::from_json(json.as_bytes()).unwrap(), loss);
        let full = Loss::new(LossCause::SpoolFull, 1);
        assert_eq!(full.to_json().unwrap(), r#"{"cause":"spool-full","count":1}"#);
        let cut = Recovered { bytes: 9, fault: Text::lossy("cut off\n") };
        assert_eq!(cut.to_json().unwrap(), "{\"bytes\":9,\"fault\":\"cut off\u{FFFD}\"}");
        for bad in ["", "{}", r#"{"bytes":9,"fault":"a\nb"}"#, r#"{"bytes":9,"fault":"","x":1}"#] {
            assert!(Recovered::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
