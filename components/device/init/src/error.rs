//! Why the device does not boot.

use std::io;

/// A fault of the initrd; each ends in a restart.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried, on which file or device.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The signed command line lacks or garbles a value.
    #[error("command line: {0}")]
    CommandLine(&'static str),
    /// The boot disk did not appear or is not what was signed.
    #[error("boot disk: {0}")]
    BootDisk(String),
    /// The verity partitions are not those of the signed root hash.
    #[error("root file system: {0}")]
    Verity(String),
}

/// Names the operation that failed.
pub fn at<T>(what: impl Into<String>, result: io::Result<T>) -> Result<T, InitError> {
    result.map_err(|source| InitError::System { what: what.into(), source })
}
