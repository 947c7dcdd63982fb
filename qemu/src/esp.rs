use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use fatfs::{Dir, FileSystem, FsOptions};

use crate::{Error, Result};

/// The files of a FAT file system in a disk image: the EFI system partition of a device that is
/// off. Paths are like `EFI/Linux/holdfast_1.efi`.
pub struct Esp {
    image: PathBuf,
    files: FileSystem<Window>,
}

impl std::fmt::Debug for Esp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Esp").field("image", &self.image).finish_non_exhaustive()
    }
}

impl Esp {
    /// Opens the file system in the bytes `range` of the disk image `image`.
    pub fn open(image: &Path, range: Range<u64>) -> Result<Self> {
        let window = Window::open(image, range)?;
        let files = FileSystem::new(window, FsOptions::new());
        let files = files.map_err(Error::file("open the FAT file system in", image))?;
        Ok(Self { image: image.to_owned(), files })
    }

    /// Makes an empty file system in the bytes `range` of the disk image `image`.
    pub fn format(image: &Path, range: Range<u64>) -> Result<Self> {
        let mut window = Window::open(image, range.clone())?;
        fatfs::format_volume(&mut window, fatfs::FormatVolumeOptions::new())
            .map_err(Error::file("make a FAT file system in", image))?;
        Self::open(image, range)
    }

    /// The content of a file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let outcome =
            self.root().open_file(path).and_then(|mut file| file.read_to_end(&mut content));
        outcome.map_err(self.error("read", path))?;
        Ok(content)
    }

    /// Writes a file and the folders it is in; replaces what was there.
    pub fn write(&self, path: &str, content: &[u8]) -> Result<()> {
        let outcome = self.create_parents(path).and_then(|()| {
            let mut file = self.root().create_file(path)?;
            file.truncate()?;
            file.write_all(content)?;
            file.flush()
        });
        outcome.map_err(self.error("write", path))
    }

    /// Copies a file of this machine to `path`.
    pub fn write_from(&self, source: &Path, path: &str) -> Result<()> {
        let content = std::fs::read(source).map_err(Error::file("read", source))?;
        self.write(path, &content)
    }

    /// Deletes a file or an empty folder.
    pub fn remove(&self, path: &str) -> Result<()> {
        self.root().remove(path).map_err(self.error("remove", path))
    }

    /// Gives a file another name.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let root = self.root();
        self.create_parents(to)
            .and_then(|()| root.rename(from, &root, to))
            .map_err(self.error("rename", from))
    }

    /// True if there is a file or folder of this name.
    pub fn contains(&self, path: &str) -> bool {
        let root = self.root();
        root.open_file(path).is_ok() || root.open_dir(path).is_ok()
    }

    /// The names in a folder ("" is the root), sorted.
    pub fn list(&self, folder: &str) -> Result<Vec<String>> {
        let root = self.root();
        let folder_or_root = if folder.is_empty() { Ok(root) } else { root.open_dir(folder) };
        let names = folder_or_root.and_then(|folder| {
            folder.iter().map(|entry| entry.map(|entry| entry.file_name())).collect()
        });
        let mut names: Vec<String> = names.map_err(self.error("list", folder))?;
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names)
    }

    /// The one file in `folder` whose name ends in `.efi`: with boot counting the full name of a
    /// kernel image changes from boot to boot.
    pub fn only_kernel_image(&self, folder: &str) -> Result<String> {
        let mut names = self.list(folder)?;
        names.retain(|name| name.to_ascii_lowercase().ends_with(".efi"));
        if let [name] = names.as_slice() {
            return Ok(format!("{folder}/{name}"));
        }
        let reason = format!("{folder} holds {names:?}, not one kernel image");
        Err(Error::content(&self.image, reason))
    }

    /// Inverts every bit of one byte of a file.
    pub fn flip_byte(&self, path: &str, offset: u64) -> Result<()> {
        let flip = || {
            let mut file = self.root().open_file(path)?;
            let mut byte = [0];
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(&mut byte)?;
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(&[!byte[0]])?;
            file.flush()
        };
        flip().map_err(self.error("flip a byte of", path))
    }

    /// Writes everything back. Dropping does so too, but cannot tell about errors.
    pub fn close(self) -> Result<()> {
        self.files.unmount().map_err(Error::file("write", &self.image))
    }

    fn root(&self) -> Dir<'_, Window> {
        self.files.root_dir()
    }

    fn create_parents(&self, path: &str) -> io::Result<()> {
        for (end, _) in path.match_indices('/') {
            if end > 0 {
                self.root().create_dir(&path[..end])?;
            }
        }
        Ok(())
    }

    fn error(&self, action: &'static str, path: &str) -> impl FnOnce(io::Error) -> Error + use<> {
        Error::file(action, &self.image.join(path.trim_start_matches('/')))
    }
}

/// A part of a file as a file of its own.
#[derive(Debug)]
struct Window {
    file: File,
    start: u64,
    length: u64,
    position: u64,
}

impl Window {
    fn open(path: &Path, range: Range<u64>) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(Error::file("open", path))?;
        let size = file.metadata().map_err(Error::file("measure", path))?.len();
        if range.end > size || range.start > range.end {
            return Err(Error::content(path, "partition ends beyond the disk"));
        }
        let length = range.end - range.start;
        Ok(Self { file, start: range.start, length, position: 0 })
    }

    fn within(&self, wanted: usize) -> usize {
        let left = self.length.saturating_sub(self.position);
        usize::try_from(left).unwrap_or(usize::MAX).min(wanted)
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let length = self.within(buffer.len());
        let read = self.file.read_at(&mut buffer[..length], self.start + self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Write for Window {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let length = self.within(data.len());
        let written = self.file.write_at(&data[..length], self.start + self.position)?;
        self.position += written as u64;
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
#[path = "esp_tests.rs"]
mod tests;
