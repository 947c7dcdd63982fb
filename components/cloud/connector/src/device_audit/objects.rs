//! The files of logs: `audit/<log>/<first record, 20 digits>.seg`, each a segment of the log, so
//! that a folder of them is what `holdfast-logverify` reads.
//!
//! A file is durable before the index knows it. One that no index knows is what a crash between the
//! two left: it begins where its log ends, and is taken in at the next start.

use std::path::{Path, PathBuf};

use holdfast_audit_log::Hash;
use holdfast_audit_log::segment::{SegmentHeader, SegmentReader};
use holdfast_audit_log::tree::Frontier;

use super::judge::Point;
use super::log::LogId;
use crate::files::{self, FileError, Readers};

/// The folder of all logs.
#[derive(Clone, Debug)]
pub struct Objects(PathBuf);

/// A file of a log is not what was stored.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is another one than was written.
    #[error("{path} is damaged: {detail}")]
    Damaged {
        /// File.
        path: String,
        /// What is wrong.
        detail: String,
    },
}

impl Objects {
    /// In this folder; nothing is touched.
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Name of the file that begins with this record.
    pub fn file_name(first: u64) -> String {
        format!("{first:020}.seg")
    }

    fn path(&self, log: &LogId, first: u64) -> PathBuf {
        self.0.join(log.as_str()).join(Self::file_name(first))
    }

    /// Writes a file so that it is whole and durable.
    pub fn write(&self, log: &LogId, first: u64, segment: &[u8]) -> Result<(), ObjectError> {
        let folder = self.0.join(log.as_str());
        if !folder.is_dir() {
            files::create_private_folder(&folder)?;
            files::sync_folder(&self.0)?;
        }
        Ok(files::write(&self.path(log, first), segment, Readers::Owner)?)
    }

    /// Reads a file.
    pub fn read(&self, log: &LogId, first: u64) -> Result<Vec<u8>, ObjectError> {
        Ok(files::read(&self.path(log, first))?)
    }

    /// Whether there is such a file.
    pub fn has(&self, log: &LogId, first: u64) -> bool {
        self.path(log, first).is_file()
    }

    /// Removes what a crash left of the writing of a file.
    pub fn remove_unfinished(&self, log: &LogId, first: u64) -> Result<(), ObjectError> {
        let mut temporary = self.path(log, first).into_os_string();
        temporary.push(".new");
        Ok(files::remove(Path::new(&temporary))?)
    }

    /// The log after its first `size` records, of which the last ones are in this file.
    pub fn point(&self, log: &LogId, first: u64, size: u64) -> Result<Point, ObjectError> {
        let bytes = self.read(log, first)?;
        let damaged = |detail: String| ObjectError::Damaged {
            path: self.path(log, first).display().to_string(),
            detail,
        };
        let (header, records) = SegmentReader::new(&bytes).map_err(|e| damaged(e.to_string()))?;
        let SegmentHeader { previous: mut head, mut frontier, .. } = header;
        for record in records {
            if frontier.size() == size {
                break;
            }
            let (_, hash) = record.map_err(|e| damaged(e.to_string()))?;
            head = hash;
            frontier.push(hash);
        }
        if frontier.size() != size {
            return Err(damaged(format!("it ends before record {size}")));
        }
        Ok(Point { head, root: frontier.root() })
    }
}

/// The segment of some records.
pub(super) fn segment(log: &LogId, previous: Hash, frontier: Frontier, frames: &[u8]) -> Vec<u8> {
    let header = SegmentHeader { origin: log.origin(), previous, frontier };
    let mut bytes = header.encode();
    bytes.extend(frames);
    bytes
}
