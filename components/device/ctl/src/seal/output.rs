//! An output file that appears whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A file beside its final place, readable by its owner only; gone unless it is kept.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    temporary: PathBuf,
    folder: PathBuf,
    target: PathBuf,
    kept: bool,
}

impl Output {
    /// Starts a file that will be `target`.
    pub(super) fn create(target: &Path, token: &str) -> io::Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{token}"));
        let temporary = folder.join(hidden);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        Ok(Self { file, temporary, folder, target: target.to_owned(), kept: false })
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Puts the file in its place, durably. Without `replace` a file that is there already stays
    /// and [`io::ErrorKind::AlreadyExists`] is returned.
    pub(super) fn keep(mut self, replace: bool) -> io::Result<()> {
        self.file.sync_all()?;
        if replace {
            fs::rename(&self.temporary, &self.target)?;
            self.kept = true;
        } else {
            // Unlike a rename, a link never replaces.
            fs::hard_link(&self.temporary, &self.target)?;
        }
        File::open(&self.folder)?.sync_all()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::PermissionsExt};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn appears_whole_and_private_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a");
        let mut output = Output::create(&target, "t").unwrap();
        output.file().write_all(b"x").unwrap();
        assert!(!target.exists());
        drop(output);
        assert!(names(dir.path()).is_empty());

        let mut output = Output::create(&target, "t").unwrap();
        output.file().write_all(b"x").unwrap();
        output.keep(false).unwrap();
        assert_eq!(names(dir.path()), ["a"]);
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn replaces_only_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a");
        fs::write(&target, "old").unwrap();
        let error = Output::create(&target, "t").unwrap().keep(false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        Output::create(&target, "t").unwrap().keep(true).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"");
        assert_eq!(names(dir.path()), ["a"]);
    }
}
