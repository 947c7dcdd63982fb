use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::{Error, Result};

/// Partition types of the UEFI specification and the Discoverable Partitions Specification.
pub mod types {
    use uuid::{Uuid, uuid};

    /// EFI system partition.
    pub const ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    /// Root of an x86-64 system.
    pub const ROOT_X86_64: Uuid = uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
    /// Verity hash tree of [`ROOT_X86_64`].
    pub const ROOT_X86_64_VERITY: Uuid = uuid!("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5");
    /// Signature of [`ROOT_X86_64_VERITY`]'s root hash.
    pub const ROOT_X86_64_VERITY_SIG: Uuid = uuid!("41092b05-9fc8-4523-994f-2def0408b176");
    /// Variable data, mounted at `/var`.
    pub const VAR: Uuid = uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d");
    /// Any Linux data.
    pub const LINUX: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
}

const SECTOR: u64 = SECTOR_LENGTH as u64;
const SECTOR_LENGTH: usize = 512;
type Sector = [u8; SECTOR_LENGTH];
const SIGNATURE: [u8; 8] = *b"EFI PART";
const ENTRY: usize = 128;
const ENTRIES: usize = 128;
/// The header, then the entries: what [`Gpt::create`] keeps free at both ends, in sectors.
const TABLE_SECTORS: u64 = 1 + (ENTRY * ENTRIES) as u64 / SECTOR;

/// One entry of a partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its place in the table, from 0.
    pub index: usize,
    /// What it is for.
    pub type_id: Uuid,
    /// Which one it is.
    pub id: Uuid,
    /// First byte.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// The name, at most 36 UTF-16 units.
    pub label: String,
}

impl Partition {
    /// The bytes of the disk that belong to this partition.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.size
    }
}

/// A GUID partition table with 512-byte sectors (UEFI specification 2.10, section 5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpt {
    path: PathBuf,
    header: Header,
    entries: Vec<Option<Partition>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    own: u64,
    other: u64,
    first_usable: u64,
    last_usable: u64,
    disk_id: Uuid,
    entries_at: u64,
}

impl Gpt {
    /// Reads the primary table of the disk image at `path` and checks its checksums.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::file("open", path))?;
        let mut sector = [0; SECTOR_LENGTH];
        file.read_exact_at(&mut sector, SECTOR).map_err(Error::file("read", path))?;
        let (header, count, checksum) =
            parse_header(&sector).map_err(|reason| Error::content(path, reason))?;
        let mut table = vec![0; count * ENTRY];
        let at = header.entries_at.checked_mul(SECTOR);
        let at = at.ok_or_else(|| Error::content(path, "partition entries beyond the disk"))?;
        file.read_exact_at(&mut table, at).map_err(Error::file("read", path))?;
        if crc32fast::hash(&table) != checksum {
            return Err(Error::content(path, "wrong checksum of the partition entries"));
        }
        let entries = table.chunks_exact(ENTRY).enumerate();
        let entries = entries
            .map(|(index, entry)| parse_entry(index, entry))
            .collect::<Result<_, &str>>()
            .map_err(|reason| Error::content(path, reason))?;
        Ok(Self { path: path.to_owned(), header, entries })
    }

    /// Puts a new table on the disk image at `path`, with one partition after the other, each
    /// aligned to 1 MiB. A size of 0 takes what is left.
    pub fn create(path: &Path, partitions: &[NewPartition<'_>]) -> Result<Self> {
        const ALIGNMENT: u64 = 1 << 20;
        let size = path.metadata().map_err(Error::file("measure", path))?.len();
        let sectors = size / SECTOR;
        if sectors < 2 * TABLE_SECTORS + 2 {
            return Err(Error::content(path, "too small for a partition table"));
        }
        let header = Header {
            own: 1,
            other: sectors - 1,
            first_usable: 1 + TABLE_SECTORS,
            last_usable: sectors - TABLE_SECTORS - 1,
            disk_id: Uuid::new_v4(),
            entries_at: 2,
        };
        let usable_end = (header.last_usable + 1) * SECTOR;
        let mut next = (header.first_usable * SECTOR).next_multiple_of(ALIGNMENT);
        let mut entries = vec![None; ENTRIES];
        for (index, new) in partitions.iter().enumerate() {
            let rest = usable_end.saturating_sub(next);
            let size = if new.size == 0 { rest } else { new.size.next_multiple_of(SECTOR) };
            if index >= ENTRIES || size == 0 || size > rest {
                let reason = format!("no room for partition {:?}", new.label);
                return Err(Error::content(path, reason));
            }
            entries[index] = Some(Partition {
                index,
                type_id: new.type_id,
                id: Uuid::new_v4(),
                offset: next,
                size,
                attributes: 0,
                label: new.label.to_owned(),
            });
            next = (next + size).next_multiple_of(ALIGNMENT);
        }
        let table = Self { path: path.to_owned(), header, entries };
        let file = table.open_for_writing()?;
        let mbr = protective_mbr(sectors);
        file.write_all_at(&mbr, 0).map_err(Error::file("write", path))?;
        table.write()?;
        Ok(table)
    }

    /// The partitions in the table's order.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.entries.iter().flatten()
    }

    /// The first partition with this label.
    pub fn by_label(&self, label: &str) -> Option<&Partition> {
        self.partitions().find(|partition| partition.label == label)
    }

    /// The first partition of this type.
    pub fn by_type(&self, type_id: Uuid) -> Option<&Partition> {
        self.partitions().find(|partition| partition.type_id == type_id)
    }

    /// Changes a partition; [`Gpt::write`] then puts the change on the disk.
    pub fn partition_mut(&mut self, label: &str) -> Option<&mut Partition> {
        self.entries.iter_mut().flatten().find(|partition| partition.label == label)
    }

    /// Deletes the partition with this label from the table; true if there was one.
    pub fn remove(&mut self, label: &str) -> bool {
        let found = self
            .entries
            .iter_mut()
            .find(|entry| entry.as_ref().is_some_and(|partition| partition.label == label));
        found.is_some_and(|entry| entry.take().is_some())
    }

    /// Writes both copies of the table to the disk image it was read from.
    pub fn write(&self) -> Result<()> {
        let file = self.open_for_writing()?;
        let table = self.encode_entries()?;
        let checksum = crc32fast::hash(&table);
        let primary = self.header;
        let backup = Header {
            own: primary.other,
            other: primary.own,
            entries_at: primary.other.saturating_sub(table.len() as u64 / SECTOR),
            ..primary
        };
        for header in [backup, primary] {
            let sector = encode_header(&header, self.entries.len(), checksum);
            file.write_all_at(&table, header.entries_at * SECTOR)
                .and_then(|()| file.write_all_at(&sector, header.own * SECTOR))
                .map_err(Error::file("write", &self.path))?;
        }
        Ok(())
    }

    fn open_for_writing(&self) -> Result<File> {
        OpenOptions::new().write(true).open(&self.path).map_err(Error::file("open", &self.path))
    }

    fn encode_entries(&self) -> Result<Vec<u8>> {
        let mut table = vec![0; self.entries.len() * ENTRY];
        for (bytes, partition) in table.chunks_exact_mut(ENTRY).zip(&self.entries) {
            if let Some(partition) = partition {
                encode_entry(partition, bytes).map_err(|r| Error::content(&self.path, r))?;
            }
        }
        Ok(table)
    }
}

/// A partition to be made by [`Gpt::create`].
#[derive(Debug, Clone, Copy)]
pub struct NewPartition<'a> {
    /// The name.
    pub label: &'a str,
    /// What it is for.
    pub type_id: Uuid,
    /// Size in bytes; 0 takes what is left.
    pub size: u64,
}

/// Fields of a header or entry, by offset. Callers pass offsets within fixed-size records.
struct Record<'a>(&'a [u8]);

impl Record<'_> {
    fn u32(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[at..at + 4]);
        u32::from_le_bytes(bytes)
    }
    fn u64(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[at..at + 8]);
        u64::from_le_bytes(bytes)
    }
    fn uuid(&self, at: usize) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.0[at..at + 16]);
        Uuid::from_bytes_le(bytes)
    }
}

const HEADER_SIZE: usize = 92;

fn parse_header(sector: &Sector) -> Result<(Header, usize, u32), &'static str> {
    let record = Record(sector);
    if sector[..8] != SIGNATURE {
        return Err("no GUID partition table");
    }
    if record.u32(12) as usize != HEADER_SIZE {
        return Err("partition table header of unknown size");
    }
    let mut checked = sector[..HEADER_SIZE].to_vec();
    checked[16..20].fill(0);
    if crc32fast::hash(&checked) != record.u32(16) {
        return Err("wrong checksum of the partition table header");
    }
    let count = record.u32(80) as usize;
    if record.u32(84) as usize != ENTRY
        || count > 1024
        || !(count * ENTRY).is_multiple_of(SECTOR_LENGTH)
    {
        return Err("partition entries of unknown size or number");
    }
    let header = Header {
        own: record.u64(24),
        other: record.u64(32),
        first_usable: record.u64(40),
        last_usable: record.u64(48),
        disk_id: record.uuid(56),
        entries_at: record.u64(72),
    };
    Ok((header, count, record.u32(88)))
}

fn encode_header(header: &Header, count: usize, entries_checksum: u32) -> Sector {
    let mut sector = [0; SECTOR_LENGTH];
    sector[..8].copy_from_slice(&SIGNATURE);
    sector[8..12].copy_from_slice(&0x0001_0000_u32.to_le_bytes());
    sector[12..16].copy_from_slice(&92_u32.to_le_bytes());
    sector[24..32].copy_from_slice(&header.own.to_le_bytes());
    sector[32..40].copy_from_slice(&header.other.to_le_bytes());
    sector[40..48].copy_from_slice(&header.first_usable.to_le_bytes());
    sector[48..56].copy_from_slice(&header.last_usable.to_le_bytes());
    sector[56..72].copy_from_slice(&header.disk_id.to_bytes_le());
    sector[72..80].copy_from_slice(&header.entries_at.to_le_bytes());
    sector[80..84].copy_from_slice(&u32::try_from(count).unwrap_or(0).to_le_bytes());
    sector[84..88].copy_from_slice(&128_u32.to_le_bytes());
    sector[88..92].copy_from_slice(&entries_checksum.to_le_bytes());
    let checksum = crc32fast::hash(&sector[..HEADER_SIZE]);
    sector[16..20].copy_from_slice(&checksum.to_le_bytes());
    sector
}

fn parse_entry(index: usize, entry: &[u8]) -> Result<Option<Partition>, &'static str> {
    let record = Record(entry);
    let type_id = record.uuid(0);
    if type_id.is_nil() {
        return Ok(None);
    }
    let (first, last) = (record.u64(32), record.u64(40));
    let sectors = last.checked_sub(first).and_then(|n| n.checked_add(1));
    let size = sectors.and_then(|n| n.checked_mul(SECTOR));
    let (Some(size), Some(offset)) = (size, first.checked_mul(SECTOR)) else {
        return Err("partition entry whose end is before its start");
    };
    if offset.checked_add(size).is_none() {
        return Err("partition entry beyond any disk");
    }
    let units = entry[56..ENTRY].chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    Ok(Some(Partition {
        index,
        type_id,
        id: record.uuid(16),
        offset,
        size,
        attributes: record.u64(48),
        label: String::from_utf16_lossy(&units),
    }))
}

fn encode_entry(partition: &Partition, entry: &mut [u8]) -> Result<(), String> {
    let Partition { type_id, id, offset, size, attributes, label, .. } = partition;
    let units: Vec<u16> = label.encode_utf16().collect();
    if units.len() > 36 {
        return Err(format!("partition label {label:?} is longer than 36 characters"));
    }
    if offset % SECTOR != 0 || size % SECTOR != 0 || *size == 0 {
        return Err(format!("partition {label:?} is not made of whole sectors"));
    }
    entry[..16].copy_from_slice(&type_id.to_bytes_le());
    entry[16..32].copy_from_slice(&id.to_bytes_le());
    entry[32..40].copy_from_slice(&(offset / SECTOR).to_le_bytes());
    entry[40..48].copy_from_slice(&((offset + size) / SECTOR - 1).to_le_bytes());
    entry[48..56].copy_from_slice(&attributes.to_le_bytes());
    for (bytes, unit) in entry[56..].chunks_exact_mut(2).zip(units) {
        bytes.copy_from_slice(&unit.to_le_bytes());
    }
    Ok(())
}

/// One partition of type EE over the whole disk, so that old tools see it as used.
fn protective_mbr(sectors: u64) -> Sector {
    let mut mbr = [0; SECTOR_LENGTH];
    let covered = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    mbr[446..454].copy_from_slice(&[0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF]);
    mbr[454..458].copy_from_slice(&1_u32.to_le_bytes());
    mbr[458..462].copy_from_slice(&covered.to_le_bytes());
    mbr[510..].copy_from_slice(&[0x55, 0xAA]);
    mbr
}

#[cfg(test)]
#[path = "gpt_tests.rs"]
mod tests;
