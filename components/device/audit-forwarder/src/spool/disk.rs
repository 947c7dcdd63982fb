//! The folder of the spool.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::SpoolError;

/// What the spool needs of a folder. Names are those of files in it.
pub trait Disk {
    /// Names of all files.
    fn list(&mut self) -> Result<Vec<String>, SpoolError>;
    /// A whole file.
    fn read(&mut self, name: &str) -> Result<Vec<u8>, SpoolError>;
    /// A file's length, bytes.
    fn len(&mut self, name: &str) -> Result<u64, SpoolError>;
    /// Makes a file with this content, durably, in place of what has the name.
    fn create(&mut self, name: &str, content: &[u8]) -> Result<(), SpoolError>;
    /// Writes at the end of a file that has `at` bytes, and waits until it is on disk.
    fn append(&mut self, name: &str, at: u64, content: &[u8]) -> Result<(), SpoolError>;
    /// Cuts a file, durably.
    fn truncate(&mut self, name: &str, len: u64) -> Result<(), SpoolError>;
    /// Gives a file another name, durably.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), SpoolError>;
    /// Removes a file, durably: were several removals in flight, a power cut could leave a hole.
    fn remove(&mut self, name: &str) -> Result<(), SpoolError>;
}

/// A real folder. The file that is written to stays open.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    open: Option<(String, File)>,
}

impl Folder {
    /// Takes a folder that exists.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), open: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, act: &'static str, name: &str) -> impl FnOnce(io::Error) -> SpoolError {
        let path = self.path.join(name).display().to_string();
        move |source| SpoolError::Io { act, path, source }
    }

    fn writable(&mut self, name: &str) -> Result<&File, SpoolError> {
        if self.open.as_ref().is_none_or(|(open, _)| open != name) {
            let opened = OpenOptions::new().write(true).open(self.path.join(name));
            let file = opened.map_err(self.failed("open", name))?;
            self.open = Some((name.to_owned(), file));
        }
        match &self.open {
            Some((_, file)) => Ok(file),
            None => Err(self.failed("open", name)(io::ErrorKind::NotFound.into())),
        }
    }

    fn sync_folder(&self) -> Result<(), SpoolError> {
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(self.failed("make durable", ""))
    }
}

impl Disk for Folder {
    fn list(&mut self) -> Result<Vec<String>, SpoolError> {
        let failed = |error| self.failed("list", "")(error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(|error| self.failed("list", "")(error))?.file_name();
            names.extend(name.into_string());
        }
        Ok(names)
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, SpoolError> {
        fs::read(self.path.join(name)).map_err(self.failed("read", name))
    }

    fn len(&mut self, name: &str) -> Result<u64, SpoolError> {
        let found = fs::metadata(self.path.join(name)).map_err(self.failed("look at", name))?;
        Ok(found.len())
    }

    fn create(&mut self, name: &str, content: &[u8]) -> Result<(), SpoolError> {
        self.open = None;
        let new = self.path.join(format!("{name}.new"));
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&new, self.path.join(name)))
            .map_err(self.failed("make", name))?;
        self.sync_folder()
    }

    fn append(&mut self, name: &str, at: u64, content: &[u8]) -> Result<(), SpoolError> {
        let file = self.writable(name)?;
        file.write_all_at(content, at)
            .and_then(|()| file.sync_data())
            .map_err(self.failed("write", name))
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), SpoolError> {
        let file = self.writable(name)?;
        file.set_len(len).and_then(|()| file.sync_all()).map_err(self.failed("cut", name))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), SpoolError> {
        self.open = None;
        fs::rename(self.path.join(from), self.path.join(to))
            .map_err(self.failed("rename", from))?;
        self.sync_folder()
    }

    fn remove(&mut self, name: &str) -> Result<(), SpoolError> {
        fs::remove_file(self.path.join(name)).map_err(self.failed("remove", name))?;
        self.sync_folder()
    }
}
