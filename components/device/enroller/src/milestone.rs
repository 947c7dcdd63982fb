//! One line per milestone on standard output, which the unit sends to journal and console: what a
//! person with nothing but a screen, and a test with nothing but a serial line, can see.

use std::fmt;
use std::io::{self, Write as _};

/// An event worth a line on the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone<'a> {
    /// The device knows who it is.
    Started {
        /// Its name.
        edge_id: &'a str,
        /// SHA-256 of the endorsement key, for the operator to register.
        ek_sha256: &'a str,
    },
    /// A certificate was issued.
    Enrolled {
        /// The id that the server gave the device.
        device_id: &'a str,
    },
    /// The identity is usable.
    Active {
        /// The id that the server gave the device.
        device_id: &'a str,
        /// Whether the server has not confirmed it since the start.
        offline: bool,
    },
    /// The server refused, or waits for approval.
    Refused {
        /// The server's reason.
        code: &'a str,
        /// Under which the operator finds more; may be empty.
        request_id: &'a str,
    },
    /// The server cannot be used.
    Waiting {
        /// Why.
        code: &'a str,
    },
    /// The device itself needs repair.
    Faulted {
        /// Why.
        code: &'a str,
    },
}

impl fmt::Display for Milestone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("holdfast: ")?;
        match self {
            Self::Started { edge_id, ek_sha256 } => {
                write!(f, "enroller started edge_id={edge_id} ek_sha256={ek_sha256}")
            }
            Self::Enrolled { device_id } => write!(f, "enrolled device_id={device_id}"),
            Self::Active { device_id, offline } => {
                write!(f, "active device_id={device_id} offline={offline}")
            }
            Self::Refused { code, request_id } => {
                write!(f, "refused code={code} request_id={request_id}")
            }
            Self::Waiting { code } => write!(f, "waiting code={code}"),
            Self::Faulted { code } => write!(f, "faulted code={code}"),
        }
    }
}

/// Prints the line. A console that is gone is no reason to stop.
pub fn print(milestone: Milestone<'_>) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{milestone}").and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_form_that_readers_rely_on() {
        let table = [
            (
                Milestone::Started { edge_id: "SN-1", ek_sha256: "00ff" },
                "holdfast: enroller started edge_id=SN-1 ek_sha256=00ff",
            ),
            (Milestone::Enrolled { device_id: "d" }, "holdfast: enrolled device_id=d"),
            (
                Milestone::Active { device_id: "d", offline: true },
                "holdfast: active device_id=d offline=true",
            ),
            (
                Milestone::Refused { code: "not-accepted", request_id: "r" },
                "holdfast: refused code=not-accepted request_id=r",
            ),
            (
                Milestone::Waiting { code: "server-unreachable" },
                "holdfast: waiting code=server-unreachable",
            ),
            (Milestone::Faulted { code: "foreign-tpm" }, "holdfast: faulted code=foreign-tpm"),
        ];
        for (milestone, line) in table {
            assert_eq!(milestone.to_string(), line);
        }
    }
}
