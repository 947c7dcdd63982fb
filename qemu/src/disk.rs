use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;

use crate::{Error, Esp, Gpt, Partition, Result, partition_types};

/// A raw disk image file of one device, to be changed only while the device is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// The image at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(Error::file("open", path))?;
        if !metadata.is_file() {
            return Err(Error::content(path, "not a disk image file"));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// A new disk at `path` with the content of `image`, at least `size` bytes long. Holes stay
    /// holes; the partition table is not moved, which the device does on its first boot.
    pub fn from_image(image: &Path, path: &Path, size: u64) -> Result<Self> {
        copy_sparse(image, path)?;
        let file = OpenOptions::new().write(true).open(path).map_err(Error::file("open", path))?;
        let length = file.metadata().map_err(Error::file("measure", path))?.len();
        // QEMU serves whole sectors only.
        let sector = crate::nbd::SECTOR;
        let length = length.max(size).div_ceil(sector) * sector;
        file.set_len(length).map_err(Error::file("extend", path))?;
        Self::open(path)
    }

    /// A new disk at `path` with `size` bytes of zeroes.
    pub fn blank(path: &Path, size: u64) -> Result<Self> {
        let file = File::create(path).map_err(Error::file("create", path))?;
        file.set_len(size).map_err(Error::file("extend", path))?;
        Self::open(path)
    }

    /// A copy of this disk at `path`.
    pub fn duplicate(&self, path: &Path) -> Result<Self> {
        copy_sparse(&self.path, path)?;
        Self::open(path)
    }

    /// Where the image is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size in bytes.
    pub fn size(&self) -> Result<u64> {
        Ok(fs::metadata(&self.path).map_err(Error::file("measure", &self.path))?.len())
    }

    /// `length` bytes from `offset`.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let file = File::open(&self.path).map_err(Error::file("open", &self.path))?;
        let mut data = vec![0; length];
        file.read_exact_at(&mut data, offset).map_err(Error::file("read", &self.path))?;
        Ok(data)
    }

    /// Writes `data` at `offset`.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path);
        let file = file.map_err(Error::file("open", &self.path))?;
        file.write_all_at(data, offset).map_err(Error::file("write", &self.path))
    }

    /// Inverts every bit of the byte at `offset`.
    pub fn flip_byte(&self, offset: u64) -> Result<()> {
        let byte = self.read(offset, 1)?;
        self.write(offset, &[!byte[0]])
    }

    /// The partition table.
    pub fn gpt(&self) -> Result<Gpt> {
        Gpt::read(&self.path)
    }

    /// The partition with this label.
    pub fn partition(&self, label: &str) -> Result<Partition> {
        let gpt = self.gpt()?;
        gpt.by_label(label).cloned().ok_or_else(|| {
            let labels: Vec<&str> = gpt.partitions().map(|p| p.label.as_str()).collect();
            let reason = format!("no partition labelled {label:?}, only {labels:?}");
            Error::content(&self.path, reason)
        })
    }

    /// The EFI system partition's files.
    pub fn esp(&self) -> Result<Esp> {
        let gpt = self.gpt()?;
        let esp = gpt
            .by_type(partition_types::ESP)
            .ok_or_else(|| Error::content(&self.path, "no EFI system partition"))?;
        Esp::open(&self.path, esp.range())
    }
}

/// Copies a file; holes in `from` are holes in `to`.
pub(crate) fn copy_sparse(from: &Path, to: &Path) -> Result<()> {
    let source = File::open(from).map_err(Error::file("open", from))?;
    let size = source.metadata().map_err(Error::file("measure", from))?.len();
    let target = File::create(to).map_err(Error::file("create", to))?;
    target.set_len(size).map_err(Error::file("extend", to))?;
    let mut at = 0;
    while let Some((start, end)) = next_data(&source, from, at, size)? {
        copy_range(&source, &target, start..end).map_err(Error::file("write", to))?;
        at = end;
    }
    Ok(())
}

fn next_data(file: &File, path: &Path, from: u64, size: u64) -> Result<Option<(u64, u64)>> {
    if from >= size {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(start) => start,
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        Err(error) => return Err(Error::errno("find the data in", path)(error)),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start));
    Ok(Some((start, end.map_err(Error::errno("find the holes in", path))?)))
}

fn copy_range(
    source: &impl AsFd,
    target: &impl AsFd,
    range: std::ops::Range<u64>,
) -> std::io::Result<()> {
    let (mut from, mut to) = (range.start, range.start);
    while from < range.end {
        let length = usize::try_from(range.end - from).unwrap_or(usize::MAX).min(1 << 30);
        let copied =
            rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), length)?;
        if copied == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
