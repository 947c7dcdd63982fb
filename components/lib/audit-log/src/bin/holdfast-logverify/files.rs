//! Finding and reading the files of a log.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use holdfast_audit_log::checkpoint::{AuditKey, SignedCheckpoint};
use holdfast_audit_log::frame::Frame;

use crate::failure::Failure;

/// The longest file that is read into memory, bytes. Segments have 1 to 4 MiB.
const MAX_FILE: u64 = 256 << 20;

/// A file of a log.
#[derive(Debug)]
pub struct LogFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name in findings.
    pub place: String,
}

/// What a log consists of.
#[derive(Debug, Default)]
pub struct LogFiles {
    /// Files in order.
    pub files: Vec<LogFile>,
    /// What lies beside them and was not read.
    pub notes: Vec<String>,
}

impl LogFiles {
    /// The files of the folders and files that were named.
    pub fn find(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut found = Self::default();
        for path in paths {
            let metadata = fs::metadata(path).map_err(|source| read_failure(path, source))?;
            if metadata.is_dir() {
                found.folder(path)?;
            } else {
                let place = path.display().to_string();
                found.files.push(LogFile { path: path.clone(), place });
            }
        }
        Ok(found)
    }

    /// The segments of a spool (`N.log`) or of an export (`segments/N.seg`), by number.
    fn folder(&mut self, folder: &Path) -> Result<(), Failure> {
        let inner = folder.join("segments");
        let folder = if inner.is_dir() { &inner } else { folder };
        let mut segments = Vec::new();
        for entry in fs::read_dir(folder).map_err(|source| read_failure(folder, source))? {
            let path = entry.map_err(|source| read_failure(folder, source))?.path();
            let suffix = path.extension().and_then(OsStr::to_str);
            let number = path.file_stem().and_then(OsStr::to_str).and_then(number);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match (number, suffix) {
                (Some(number), Some("log" | "seg")) => segments.push((number, name, path)),
                (Some(_), Some("damaged")) => self.notes.push(format!(
                    "{name} is not read: the device put a segment aside whose header it could not read"
                )),
                _ => {}
            }
        }
        if segments.is_empty() {
            return Err(Failure::input(
                folder,
                "the folder holds no segment of a log",
                "Name a spool, with files like 00000000000000000000.log, or what \
                 `holdfast-cloud device-audit export` wrote.",
            ));
        }
        segments.sort();
        self.files.extend(segments.into_iter().map(|(_, place, path)| LogFile { path, place }));
        Ok(())
    }
}

/// The sequence number that a segment is named by.
fn number(stem: &str) -> Option<u64> {
    let is_number = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { stem.parse().ok() } else { None }
}

fn read_failure(path: &Path, source: std::io::Error) -> Failure {
    Failure::Read { path: path.to_owned(), source }
}

/// A whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let length = fs::metadata(path).map_err(|source| read_failure(path, source))?.len();
    if length > MAX_FILE {
        return Err(Failure::input(
            path,
            format!("{length} bytes are more than any file of a log has"),
            "Segments have a few MiB; name those.",
        ));
    }
    fs::read(path).map_err(|source| read_failure(path, source))
}

/// Whether a file has frames from its first byte on, without a segment's header.
pub fn has_no_header(bytes: &[u8]) -> bool {
    Frame::decode(bytes).is_ok()
}

/// A public key.
pub fn key(path: &Path) -> Result<AuditKey, Failure> {
    let pem = String::from_utf8_lossy(&read(path)?).into_owned();
    AuditKey::from_pem(&pem).map_err(|error| {
        Failure::input(
            path,
            error.to_string(),
            "Expected a PEM file that begins with BEGIN PUBLIC KEY.",
        )
    })
}

/// Checkpoints with the names of their files.
pub fn checkpoints(paths: &[PathBuf]) -> Result<Vec<(String, SignedCheckpoint)>, Failure> {
    let one = |path: &PathBuf| {
        let checkpoint = SignedCheckpoint::parse(&read(path)?).map_err(|error| {
            Failure::input(
                path,
                error.to_string(),
                "Expected a signed checkpoint: origin, size, root, head, empty line, signature.",
            )
        })?;
        Ok((path.display().to_string(), checkpoint))
    };
    paths.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_segments() {
        assert_eq!(number("00000000000000001873"), Some(1873));
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for bad in
            ["1873", "00000000000000001873.log", "+0000000000000001873", "99999999999999999999"]
        {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
