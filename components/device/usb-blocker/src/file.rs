//! Files that decide: who may have written them, and how they are replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there.
    #[error("{0} is not there")]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("cannot {act} {path}: {source}")]
    System {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may write it.
    #[error(
        "{path}: others may write it (owner {owner}, mode {mode:04o}); make it root's or this \
         user's, and mode 0600 or 0644"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a regular file.
    #[error("{0} is not a regular file")]
    Kind(PathBuf),
    /// Longer than such files are.
    #[error("{path} has more than {limit} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
}

impl FileError {
    fn system(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { act, path: path.to_owned(), source }
    }
}

/// Which file was read: another file, or the same one written anew, has another stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: (u64, u64),
    changed: (i64, i64),
    size: u64,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.size(),
        }
    }

    /// The stamp of what is there now; none if nothing is.
    pub fn now(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }
}

/// Reads a file that only root or this process's user may write.
pub fn read(path: &Path, limit: usize) -> Result<(Vec<u8>, Stamp), FileError> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    // Not blocking: a pipe in its place must not hold the daemon up.
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = file.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FileError::Missing(path.to_owned()),
        _ => FileError::system("open", path)(error),
    })?;
    let metadata = file.metadata().map_err(FileError::system("look at", path))?;
    if !metadata.is_file() {
        return Err(FileError::Kind(path.to_owned()));
    }
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let is_ours = owner == 0 || owner == rustix::process::geteuid().as_raw();
    if !is_ours || mode & 0o022 != 0 {
        return Err(FileError::Open { path: path.to_owned(), owner, mode });
    }
    let mut bytes = Vec::new();
    let read = file.take(limit as u64 + 1).read_to_end(&mut bytes);
    read.map_err(FileError::system("read", path))?;
    if bytes.len() > limit {
        return Err(FileError::TooLong { path: path.to_owned(), limit });
    }
    Ok((bytes, Stamp::of(&metadata)))
}

/// Puts a file in place of what is there: after a power cut there is the old one or the new one.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = folder.join(name);
    let write = || {
        let options =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
        let mut file = options?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        // What is left of it is written over the next time.
        let _ = fs::remove_file(&new);
        FileError::system("write", path)(error)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_files_that_others_cannot_write_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.conf");
        assert!(matches!(read(&path, 10), Err(FileError::Missing(_))));
        replace(&path, b"allow").unwrap();
        let (bytes, stamp) = read(&path, 10).unwrap();
        assert_eq!((bytes.as_slice(), Stamp::now(&path)), (&b"allow"[..], Some(stamp)));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read(&path, 10).unwrap_err().to_string();
            assert!(error.contains("rules.conf: others may write it"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&path, 4), Err(FileError::TooLong { .. })));
        assert!(matches!(read(folder.path(), 4), Err(FileError::Kind(_))));
        replace(&path, b"block").unwrap();
        assert_ne!(Stamp::now(&path), Some(stamp));
        let gone = folder.path().join("none/rules.conf");
        assert!(replace(&gone, b"").unwrap_err().to_string().contains("cannot write"));
    }
}
