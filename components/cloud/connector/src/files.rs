//! Files that must be whole or absent, and secrets that only the owner may read.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file operation that failed, with the file's path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct FileError {
    operation: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

impl FileError {
    /// Whether the file is missing.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::NotFound
    }
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Mode 0600.
    Owner,
    /// Mode 0644.
    Everybody,
}

impl Readers {
    fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Everybody => 0o644,
        }
    }
}

fn at<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> FileError + 'a {
    move |source| FileError { operation, path: path.to_owned(), source }
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(at("read", path))
}

/// Reads a whole file as text.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(at("read", path))
}

/// Writes a file so that a crash leaves the old content or the new one: temporary file, fsync,
/// rename, fsync of the folder.
pub fn write(path: &Path, content: &[u8], readers: Readers) -> Result<(), FileError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(readers.mode())
        .open(&temporary)
        .map_err(at("create", &temporary))?;
    // A left-over of a crash keeps its old mode, so set it again.
    file.set_permissions(Permissions::from_mode(readers.mode()))
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all())
        .map_err(at("write", &temporary))?;
    rename(&temporary, path)
}

/// Renames within one folder and makes that durable.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(at("rename to", to))?;
    sync_folder(match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    })
}

/// Makes durable what a folder's entries are.
pub fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at("sync", path))
}

/// Makes a folder that only its owner may enter; an existing one is kept as it is.
pub fn create_private_folder(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(at("create", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(at("set the mode of", path))
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(at("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a folder with its content, if it is there.
pub fn remove_folder(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(at("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Waits for a lock file. The lock ends with the value.
pub fn wait_for_lock(path: &Path) -> Result<File, FileError> {
    let file = create_private(path)?;
    file.lock().map_err(at("lock", path))?;
    Ok(file)
}

/// Opens a file for writing, and makes it, readable by its owner only, if it is missing.
pub fn create_private(path: &Path) -> Result<File, FileError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(at("create", path))
}

/// Holds a lock file, so that one process at a time owns a folder. The lock ends with the value.
pub fn lock(path: &Path) -> Result<File, FileError> {
    let file = create_private(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(at("lock", path)(std::io::Error::new(
            std::io::ErrorKind::WouldBlock,
            "another holdfast-cloud serves this data folder",
        ))),
        Err(fs::TryLockError::Error(error)) => Err(at("lock", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_readable_by_its_owner_only_even_over_a_left_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(folder.path().join("key.new"), "left over").unwrap();
        write(&path, b"secret", Readers::Owner).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap(), b"secret");
        assert!(!folder.path().join("key.new").exists());
    }

    #[test]
    fn a_second_lock_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path).unwrap();
        let refusal = lock(&path).unwrap_err().to_string();
        assert!(refusal.contains("another holdfast-cloud"), "{refusal}");
        drop(held);
        lock(&path).unwrap();
    }
}
