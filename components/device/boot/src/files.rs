//! Reading and writing of small files; each error names the file.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
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

/// Puts a file in place at once, for everybody to read; makes its folder. For `/run`.
pub fn publish(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let new = path.with_extension("new");
    fs::create_dir_all(folder)
        .and_then(|()| File::create(&new)?.write_all(content))
        .and_then(|()| fs::rename(&new, path))
        .map_err(FileError::at(format!("cannot write {}", path.display())))
}
