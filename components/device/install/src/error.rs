//! Why a disk is not written.

use std::io;

use holdfast_attestation::pairing::PairingCodeError;
use holdfast_site::TransferError;

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file or device.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, on what.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The image.
    #[error("{image} is no Holdfast disk image: {reason}")]
    Image {
        /// Its name.
        image: String,
        /// What is wrong.
        reason: String,
    },
    /// The pairing code.
    #[error("{file}: {error}; write the code into it as the connector printed it")]
    PairingCode {
        /// The file.
        file: String,
        /// What is wrong with it.
        error: PairingCodeError,
    },
    /// The leave to move to the site.
    #[error("{file}: {error}; make a new one with holdfast-cloud site transfer")]
    Transfer {
        /// The file.
        file: String,
        /// What is wrong with it.
        error: TransferError,
    },
    /// The site configuration.
    #[error("{file}: {reason}; make a new one with holdfast-cloud site new")]
    Site {
        /// Its name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The disk is used by the running system.
    #[error(
        "{disk} is in use: unmount its file systems and stop what else holds it (lsblk {disk})"
    )]
    Busy {
        /// Its name.
        disk: String,
    },
    /// The disk cannot hold it.
    #[error("{disk} has {has} MiB, the image and its state volume need {needs} MiB")]
    Small {
        /// Its name.
        disk: String,
        /// Its size.
        has: u64,
        /// What is needed.
        needs: u64,
    },
    /// What was read back is not what was written.
    #[error(
        "{disk} does not keep what is written to it: byte {offset} reads back differently; the disk is faulty"
    )]
    Different {
        /// Its name.
        disk: String,
        /// The first mebibyte that differs.
        offset: u64,
    },
}

impl InstallError {
    /// For an error of the system.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Exit status: 3 where the disk or the input was refused and nothing was changed, else 1.
    pub const fn exit_status(&self) -> u8 {
        match self {
            Self::Image { .. }
            | Self::Site { .. }
            | Self::PairingCode { .. }
            | Self::Transfer { .. }
            | Self::Busy { .. }
            | Self::Small { .. } => 3,
            Self::Io { .. } | Self::Different { .. } => 1,
        }
    }
}
