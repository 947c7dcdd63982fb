//! Reading and writing of small files; each error names the file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct FileError {
    what: String,
    source: io::Error,
}

impl FileError {
    /// Names what was tried.
    pub fn at(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self { what, source }
    }
}

/// Reads a text file of at most 1 MiB.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let error = || FileError::at(format!("cannot read {}", path.display()));
    let bytes = read_limited(&mut File::open(path).map_err(error())?, 1 << 20).map_err(error())?;
    String::from_utf8(bytes).map_err(|_| error()(io::ErrorKind::InvalidData.into()))
}

/// Reads to the end, which must come within `limit` bytes.
pub fn read_limited(from: &mut impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Every program.
    Everybody,
    /// Root, who hands it to units as a credential.
    Root,
}

/// Puts a file in place at once, for everybody to read; makes its folder. For `/run`.
pub fn publish(path: &Path, content: &[u8]) -> Result<(), FileError> {
    publish_for(path, content, Readers::Everybody)
}

/// The same, for these readers.
pub fn publish_for(path: &Path, content: &[u8], readers: Readers) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mode = match readers {
        Readers::Everybody => 0o644,
        Readers::Root => 0o600,
    };
    let write = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        // One that was left over may be readable to others.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(content)?;
        fs::rename(&new, path)
    };
    write().map_err(FileError::at(format!("cannot write {}", path.display())))
}
