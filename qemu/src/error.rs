use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What went wrong with a virtual device, and with which file, command or peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried, as in "open".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A program could not be started at all.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The command line.
        command: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A program ended with an error, or before it should.
    #[error("`{command}` ended with {status}; the end of its output:\n{output}")]
    Command {
        /// The command line.
        command: String,
        /// Exit code or signal.
        status: String,
        /// The tail of what it printed to standard error.
        output: String,
    },
    /// A program or file that a device needs is not on this machine.
    #[error("missing on this machine: {}", .0.join(", "))]
    Missing(Vec<String>),
    /// Something did not happen in time.
    #[error("waited {:.1} s in vain for {what}\n{context}", after.as_secs_f64())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// The last thing seen, for the reader.
        context: String,
    },
    /// The device went away while something was expected of it.
    #[error("the device ended before {what}\n{context}")]
    Ended {
        /// What was waited for.
        what: String,
        /// The last thing seen, for the reader.
        context: String,
    },
    /// QEMU refused a QMP command.
    #[error("QEMU refused {command}: {class}: {description}")]
    Qmp {
        /// The command's name.
        command: String,
        /// QMP's error class.
        class: String,
        /// QMP's text.
        description: String,
    },
    /// A peer broke its protocol.
    #[error("{peer}: {reason}")]
    Protocol {
        /// Who: "QMP", "swtpm", ...
        peer: &'static str,
        /// What was wrong.
        reason: String,
    },
    /// A disk, partition table, certificate or state file has wrong content.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The description of a device cannot be carried out.
    #[error("{0}")]
    Description(String),
}

impl Error {
    pub(crate) fn file(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    pub(crate) fn errno(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(rustix::io::Errno) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { action, path, source: source.into() }
    }

    pub(crate) fn content(path: &Path, reason: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.into() }
    }
}
