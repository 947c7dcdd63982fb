//! What checks look at.

use std::{fs, io, path::PathBuf};

use holdfast_ipc::usb::UsbStatus;

use super::Finding;
use crate::{Snapshot, bus::Units, status::now};

/// One machine at one time.
#[derive(Debug)]
pub struct Context {
    /// Where its files are; `/` for this machine.
    pub root: PathBuf,
    /// Unix seconds.
    pub now: i64,
    /// The identity, or why it is not known.
    pub identity: Result<Snapshot, String>,
    /// Units of systemd, or why they are not known.
    pub units: Result<Units, String>,
    /// How the USB daemon is, or why that is not known.
    pub usb: Result<UsbStatus, String>,
}

impl Context {
    /// This machine, before the bus was asked.
    pub(super) fn of_this_machine() -> Self {
        Self {
            root: PathBuf::from("/"),
            now: now(),
            identity: Err("it was not asked".to_owned()),
            units: Err("it was not asked".to_owned()),
            usb: Err("it was not asked".to_owned()),
        }
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    pub(super) fn read(&self, path: &str) -> io::Result<String> {
        fs::read_to_string(self.root.join(path))
    }

    pub(super) fn read_bytes(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.root.join(path))
    }
}

/// The finding for a file that cannot be read though it must be there.
pub(super) fn unreadable(path: &str, error: &io::Error, advice: &str) -> Finding {
    if error.kind() == io::ErrorKind::PermissionDenied {
        Finding::warning(format!("/{path} may not be read by this user"), "Run the check as root.")
    } else {
        Finding::failed(format!("/{path} cannot be read: {error}"), advice)
    }
}
