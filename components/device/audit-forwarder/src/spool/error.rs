//! What can go wrong with the spool.

/// The folder or a file of the spool could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The operating system.
    #[error("cannot {act} {path}: {source}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: String,
        /// What it said.
        source: std::io::Error,
    },
    /// Records that were appended are not in the log.
    #[error("{records} records are lost: {cause}")]
    Commit {
        /// How many.
        records: u64,
        /// Why.
        cause: Box<SpoolError>,
    },
}
