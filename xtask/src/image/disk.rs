//! The disk: partition table, ESP and slot A, in a sparse file.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};
use fatfs::TimeProvider;
use holdfast_disk::{BLOCK, ENTRY_BLOCKS, Gpt, Guid, Partition, types};
use sha2::{Digest, Sha256};

use super::layout::Layout;

const MIB: u64 = 1 << 20;

/// What goes onto the disk.
pub struct Contents<'a> {
    /// Version and profile, from which every UUID is made.
    pub identity: &'a str,
    /// Label of slot A.
    pub label: &'a str,
    /// Verity root hash; its halves are the UUIDs of root and tree.
    pub root_hash: &'a str,
    /// Root file system.
    pub root: &'a Path,
    /// Hash tree.
    pub tree: &'a Path,
    /// Signature partition.
    pub signature: &'a [u8],
    /// Files of the ESP: path and content.
    pub esp: &'a [(String, Vec<u8>)],
}

/// Writes the disk.
pub fn write(layout: &Layout, contents: &Contents, output: &Path) -> Result<()> {
    let table = table(layout, contents)?;
    let end = table.partitions.last().map_or(0, |p| p.last + 1);
    let blocks = (end + ENTRY_BLOCKS + 1).next_multiple_of(MIB / BLOCK);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(output)
        .with_context(|| format!("create {}", output.display()))?;
    file.set_len(blocks * BLOCK)?;
    let (head, tail) = table.write(blocks)?;
    write_at(&mut file, 0, &head)?;
    write_at(&mut file, blocks * BLOCK - tail.len() as u64, &tail)?;
    for (partition, source) in table.partitions[1..3].iter().zip([contents.root, contents.tree]) {
        copy(&mut file, partition, source)?;
    }
    write_at(&mut file, table.partitions[3].offset(), contents.signature)?;
    let esp = &table.partitions[0];
    write_esp(&mut file, esp, contents).context("write the EFI system partition")?;
    file.sync_all()?;
    Ok(())
}

fn table(layout: &Layout, contents: &Contents) -> Result<Gpt> {
    let id = |what: &str| {
        let digest = Sha256::digest(format!("holdfast {} {what}", contents.identity));
        let mut raw = [0; 16];
        raw.copy_from_slice(&digest[..16]);
        Guid::from_u128(u128::from_be_bytes(raw))
    };
    let hash = hex::decode(contents.root_hash)?;
    let half = |range: std::ops::Range<usize>| -> Result<Guid> {
        let raw: [u8; 16] = hash.get(range).context("root hash is too short")?.try_into()?;
        Ok(Guid::from_u128(u128::from_be_bytes(raw)))
    };
    let mut next = MIB;
    let mut number = 0;
    let mut partition = |kind, uuid, label: &str, size: u64| {
        number += 1;
        let first = next / BLOCK;
        next = (next + size).next_multiple_of(MIB);
        Partition {
            number,
            kind,
            uuid,
            first,
            last: first + size / BLOCK - 1,
            attributes: 0,
            label: label.into(),
        }
    };
    let slot = &layout.slot;
    let sizes = [slot.root_mib * MIB, slot.verity_mib * MIB, slot.signature_kib * 1024];
    let partitions = vec![
        partition(types::ESP, id("esp"), &layout.esp.label, layout.esp.size_mib * MIB),
        partition(types::ROOT, half(0..16)?, contents.label, sizes[0]),
        partition(types::ROOT_VERITY, half(16..32)?, contents.label, sizes[1]),
        partition(types::ROOT_VERITY_SIG, id("signature"), contents.label, sizes[2]),
        partition(types::ROOT, id("root b"), "_empty", sizes[0]),
        partition(types::ROOT_VERITY, id("verity b"), "_empty", sizes[1]),
        partition(types::ROOT_VERITY_SIG, id("signature b"), "_empty", sizes[2]),
    ];
    Ok(Gpt { disk: id("disk"), partitions })
}

fn write_at(file: &mut File, offset: u64, bytes: &[u8]) -> Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)?;
    Ok(())
}

fn copy(file: &mut File, partition: &Partition, source: &Path) -> Result<()> {
    let from = File::open(source).with_context(|| format!("open {}", source.display()))?;
    let size = from.metadata()?.len();
    if size > partition.size() {
        bail!(
            "{} has {size} bytes, the partition in layout.toml only {}",
            source.display(),
            partition.size()
        );
    }
    file.seek(SeekFrom::Start(partition.offset()))?;
    io::copy(&mut from.take(size), file)?;
    Ok(())
}

fn write_esp(file: &mut File, partition: &Partition, contents: &Contents) -> Result<()> {
    let mut slice = Slice { file, start: partition.offset(), size: partition.size(), at: 0 };
    let serial = Sha256::digest(format!("holdfast {} vfat", contents.identity));
    let options = fatfs::FormatVolumeOptions::new()
        .fat_type(fatfs::FatType::Fat32)
        .volume_id(u32::from_le_bytes([serial[0], serial[1], serial[2], serial[3]]))
        .volume_label(*b"HOLDFAST   ");
    fatfs::format_volume(&mut slice, options)?;
    slice.seek(SeekFrom::Start(0))?;
    let options = fatfs::FsOptions::new().time_provider(&NEW_YEAR);
    let volume = fatfs::FileSystem::new(&mut slice, options)?;
    for (path, content) in contents.esp {
        let mut folder = volume.root_dir();
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        for part in folders.split('/').filter(|p| !p.is_empty()) {
            folder = folder.create_dir(part)?;
        }
        let mut file = folder.create_file(name)?;
        file.write_all(content)?;
        file.flush()?;
    }
    volume.unmount()?;
    Ok(())
}

/// One time for all files, so that builds can be compared. It must be a valid one: firmware refuses
/// to rename a file with a date of zero, and boot counting renames the UKI.
#[derive(Debug)]
struct FixedTime(fatfs::Date);

static NEW_YEAR: FixedTime = FixedTime(fatfs::Date { year: 2026, month: 1, day: 1 });

impl TimeProvider for FixedTime {
    fn get_current_date(&self) -> fatfs::Date {
        self.0
    }

    fn get_current_date_time(&self) -> fatfs::DateTime {
        fatfs::DateTime { date: self.0, time: fatfs::Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

/// A part of a file as a volume.
struct Slice<'a> {
    file: &'a mut File,
    start: u64,
    size: u64,
    at: u64,
}

impl Slice<'_> {
    fn here(&mut self, wanted: usize) -> io::Result<usize> {
        self.file.seek(SeekFrom::Start(self.start + self.at))?;
        Ok(usize::try_from(self.size - self.at).unwrap_or(usize::MAX).min(wanted))
    }
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.here(buffer.len())?;
        let done = self.file.read(&mut buffer[..size])?;
        self.at += done as u64;
        Ok(done)
    }
}

impl Write for Slice<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let size = self.here(buffer.len())?;
        let done = self.file.write(&buffer[..size])?;
        self.at += done as u64;
        Ok(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Slice<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.size.checked_add_signed(n),
            SeekFrom::Current(n) => self.at.checked_add_signed(n),
        };
        self.at = target
            .filter(|&t| t <= self.size)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek beyond the volume"))?;
        Ok(self.at)
    }
}
