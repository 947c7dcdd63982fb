//! Names on a FAT32 file system (Microsoft, FAT32 File System Specification 1.03), given so that a
//! power cut at any instant leaves the file.
//!
//! The kernel's rename makes a second, empty directory entry, removes the first, and writes where
//! the file's content is at some later time: for seconds the disk has no such file. Here the entry
//! that says where the content is stays as it is, and only the slots of the long name before it
//! change. They are in one sector as a rule, and then the change happens or does not. Where they
//! are in more, the beginning of the long name is deleted first: from then until the last write the
//! file goes by its short name, in the same folder, never by a mixture of the two names.

use std::io;

/// Bytes of a sector; Holdfast's boot partitions have no other.
pub const SECTOR: usize = 512;

const SLOT: usize = 32;
/// Folders are a few sectors long; a chain that goes on is a loop or damage.
const FOLDER_LIMIT: usize = 2 << 20;
const LONG_NAME: u8 = 0x0f;
const FOLDER: u8 = 0x10;
const VOLUME: u8 = 0x08;
const DELETED: u8 = 0xe5;
const LAST: u8 = 0x40;
/// UTF-16 units in a slot of a long name, and where they are.
const UNITS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// Slots of the longest name, 255 units.
const SLOTS_LIMIT: u8 = 20;

/// What to write in place of a sector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Byte offset on the file system.
    pub offset: u64,
    /// The whole sector.
    pub sector: [u8; SECTOR],
}

/// Why a name is not changed.
#[derive(Debug, thiserror::Error)]
pub enum FatError {
    /// The device.
    #[error("cannot read at byte {offset}: {source}")]
    Read {
        /// Byte offset on the file system.
        offset: u64,
        /// What the device said.
        source: io::Error,
    },
    /// The boot sector is of something else.
    #[error("not a FAT32 file system with sectors of 512 bytes: {0}")]
    Format(&'static str),
    /// A cluster chain leaves the file system or does not end.
    #[error("the cluster chain of {0} is damaged; write the image anew or run fsck.fat")]
    Chain(String),
    /// Nothing of this name.
    #[error("there is no {0}")]
    Absent(String),
    /// Another file has the new name.
    #[error("{0} is there already")]
    Present(String),
    /// The new name takes more slots than the old one, or is no name.
    #[error("{0:?} does not fit in place of the old name")]
    Unfit(String),
}

/// Where things are.
struct Volume<R> {
    read: R,
    cluster_size: usize,
    table: u64,
    data: u64,
    clusters: u32,
}

/// A folder's slots and the byte offset of each.
type Slots = Vec<(u64, [u8; SLOT])>;

/// A file's or folder's entry.
struct Entry {
    /// Index of the short entry; the slots of the long name are before it.
    short: usize,
    long_slots: usize,
    name: String,
    folder: bool,
    cluster: u32,
}

/// The writes that give the file `from` in `folder` (names from the root, outermost first) the
/// name `to`; none if it has that name already. Names are compared as FAT does it, without case.
///
/// `to` must not take more slots of 13 characters than `from`. `read` fills the buffer from a byte
/// offset on the file system. The edits are to be written in their order, each flushed before the
/// next.
pub fn rename_in_place<R>(
    read: R,
    folder: &[&str],
    from: &str,
    to: &str,
) -> Result<Vec<Edit>, FatError>
where
    R: FnMut(u64, &mut [u8]) -> io::Result<()>,
{
    let mut volume = Volume::open(read)?;
    let root = volume.root()?;
    let mut slots = volume.slots(root, "the root folder")?;
    for name in folder {
        let found = entries(&slots).into_iter().find(|e| e.folder && e.is(name));
        let entry = found.ok_or_else(|| FatError::Absent((*name).to_owned()))?;
        slots = volume.slots(entry.cluster, name)?;
    }
    let files = entries(&slots);
    let file = |name: &str| files.iter().find(|entry| entry.is(name));
    let Some(entry) = file(from) else {
        return match file(to) {
            Some(there) if !there.folder => Ok(Vec::new()),
            _ => Err(FatError::Absent(from.to_owned())),
        };
    };
    if entry.folder {
        return Err(FatError::Absent(from.to_owned()));
    }
    if file(to).is_some_and(|there| there.short != entry.short) {
        return Err(FatError::Present(to.to_owned()));
    }
    let long = long_name(to, entry, &slots[entry.short].1)
        .ok_or_else(|| FatError::Unfit(to.to_owned()))?;
    let first = entry.short - entry.long_slots;
    volume.edits(slots[first..entry.short].iter().map(|(offset, _)| *offset).zip(long))
}

impl<R: FnMut(u64, &mut [u8]) -> io::Result<()>> Volume<R> {
    fn open(mut read: R) -> Result<Self, FatError> {
        let mut sector = [0; SECTOR];
        read(0, &mut sector).map_err(|source| FatError::Read { offset: 0, source })?;
        let byte = |at: usize| u32::from(sector[at]);
        let short = |at: usize| byte(at) | byte(at + 1) << 8;
        let word = |at: usize| short(at) | short(at + 2) << 16;
        if sector[510..] != [0x55, 0xaa] {
            return Err(FatError::Format("no boot signature"));
        }
        if short(11) as usize != SECTOR {
            return Err(FatError::Format("another sector size"));
        }
        let (per_cluster, reserved, tables) = (byte(13), short(14), byte(16));
        if !per_cluster.is_power_of_two() || reserved == 0 || !(1..=2).contains(&tables) {
            return Err(FatError::Format("impossible counts in the boot sector"));
        }
        // FAT12 and FAT16 have a root folder of fixed size and short tables.
        if short(17) != 0 || short(22) != 0 {
            return Err(FatError::Format("an older kind of FAT"));
        }
        let (total, table_sectors) = (u64::from(word(32)), u64::from(word(36)));
        let table = u64::from(reserved);
        let data = table + u64::from(tables) * table_sectors;
        let clusters = total.saturating_sub(data) / u64::from(per_cluster);
        let clusters = u32::try_from(clusters).unwrap_or(u32::MAX).min(0x0fff_fff5);
        if clusters == 0 || u64::from(clusters) + 2 > table_sectors * (SECTOR as u64) / 4 {
            return Err(FatError::Format("the tables do not cover the clusters"));
        }
        Ok(Self {
            read,
            cluster_size: per_cluster as usize * SECTOR,
            table: table * SECTOR as u64,
            data: data * SECTOR as u64,
            clusters,
        })
    }

    fn root(&mut self) -> Result<u32, FatError> {
        let mut cluster = [0; 4];
        self.fill(44, &mut cluster)?;
        Ok(u32::from_le_bytes(cluster))
    }

    fn fill(&mut self, offset: u64, into: &mut [u8]) -> Result<(), FatError> {
        (self.read)(offset, into).map_err(|source| FatError::Read { offset, source })
    }

    /// The slots of the folder that begins at `cluster`, up to its end.
    fn slots(&mut self, mut cluster: u32, name: &str) -> Result<Slots, FatError> {
        let damaged = || FatError::Chain(name.to_owned());
        let mut slots = Slots::new();
        let mut content = vec![0; self.cluster_size];
        loop {
            if cluster < 2 || cluster - 2 >= self.clusters {
                return Err(damaged());
            }
            let offset = self.data + u64::from(cluster - 2) * self.cluster_size as u64;
            self.fill(offset, &mut content)?;
            for (slot, at) in content.as_chunks::<SLOT>().0.iter().zip((0_u64..).step_by(SLOT)) {
                if slot[0] == 0 {
                    return Ok(slots);
                }
                slots.push((offset + at, *slot));
            }
            if slots.len() * SLOT > FOLDER_LIMIT {
                return Err(damaged());
            }
            let mut next = [0; 4];
            self.fill(self.table + u64::from(cluster) * 4, &mut next)?;
            cluster = u32::from_le_bytes(next) & 0x0fff_ffff;
            if cluster >= 0x0fff_fff8 {
                return Ok(slots);
            }
        }
    }

    /// Puts slots into their sectors, so that no mixture of old and new slots makes a name.
    fn edits(
        &mut self,
        slots: impl Iterator<Item = (u64, [u8; SLOT])>,
    ) -> Result<Vec<Edit>, FatError> {
        // Each sector with its new slots, and as it was.
        let mut sectors: Vec<(Edit, [u8; SECTOR])> = Vec::new();
        let mut beginning = None;
        for (offset, slot) in slots {
            let start = offset - offset % SECTOR as u64;
            if sectors.last().is_none_or(|(edit, _)| edit.offset != start) {
                let mut sector = [0; SECTOR];
                self.fill(start, &mut sector)?;
                sectors.push((Edit { offset: start, sector }, sector));
            }
            let at = usize::try_from(offset - start).unwrap_or_default();
            if let [(edit, old)] = sectors.as_slice() {
                let without = beginning.get_or_insert(Edit { sector: *old, ..edit.clone() });
                without.sector[at] = DELETED;
            }
            if let Some((edit, _)) = sectors.last_mut() {
                edit.sector[at..at + SLOT].copy_from_slice(&slot);
            }
        }
        let mut changed = sectors.iter().filter(|(edit, old)| edit.sector != *old);
        if let (Some((only, _)), None) = (changed.next(), changed.next()) {
            return Ok(vec![only.clone()]);
        }
        if sectors.iter().all(|(edit, old)| edit.sector == *old) {
            return Ok(Vec::new());
        }
        // The end of the name first: a slot that begins a name comes after all that it needs.
        Ok(beginning.into_iter().chain(sectors.into_iter().map(|(edit, _)| edit).rev()).collect())
    }
}

impl Entry {
    fn is(&self, name: &str) -> bool {
        self.name.to_lowercase() == name.to_lowercase()
    }
}

/// The entries of a folder. A long name counts only if all its slots are there, in order, with the
/// checksum of the short name; else the entry goes by its short name.
fn entries(slots: &Slots) -> Vec<Entry> {
    let mut entries = Vec::new();
    // Slots of a long name so far, and the units in them.
    let mut long: Option<(usize, u8, u8, Vec<u16>)> = None;
    for (index, (_, slot)) in slots.iter().enumerate() {
        if slot[0] == DELETED {
            long = None;
        } else if slot[11] & 0x3f == LONG_NAME {
            let number = slot[0] & 0x3f;
            let units = UNITS.map(|at| u16::from_le_bytes([slot[at], slot[at + 1]]));
            long = match long {
                _ if slot[0] & LAST != 0 && (1..=SLOTS_LIMIT).contains(&number) => {
                    Some((1, number, slot[13], units.to_vec()))
                }
                Some((count, last, sum, mut rest)) if number + 1 == last && sum == slot[13] => {
                    rest.splice(0..0, units);
                    Some((count + 1, number, sum, rest))
                }
                _ => None,
            };
        } else if slot[11] & VOLUME != 0 {
            long = None;
        } else {
            let whole =
                long.take().filter(|(_, last, sum, _)| *last == 1 && *sum == checksum(slot));
            let (long_slots, name) = match whole {
                Some((count, _, _, units)) => {
                    let end = units.iter().position(|&u| u == 0).unwrap_or(units.len());
                    (count, String::from_utf16_lossy(&units[..end]))
                }
                None => (0, short_name(slot)),
            };
            let high = u16::from_le_bytes([slot[20], slot[21]]);
            let low = u16::from_le_bytes([slot[26], slot[27]]);
            entries.push(Entry {
                short: index,
                long_slots,
                name,
                folder: slot[11] & FOLDER != 0,
                cluster: u32::from(high) << 16 | u32::from(low),
            });
        }
    }
    entries
}

fn short_name(slot: &[u8; SLOT]) -> String {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let (base, extension) = (part(&slot[..8]), part(&slot[8..11]));
    if extension.is_empty() { base } else { format!("{base}.{extension}") }
}

/// Binds the slots of a long name to their short name.
fn checksum(slot: &[u8; SLOT]) -> u8 {
    slot[..11].iter().fold(0, |sum: u8, &byte| sum.rotate_right(1).wrapping_add(byte))
}

/// The slots of the name `to`, as many as the entry has now: those that it does not need are
/// deleted ones.
fn long_name(to: &str, entry: &Entry, short: &[u8; SLOT]) -> Option<Vec<[u8; SLOT]>> {
    let mut units: Vec<u16> = to.encode_utf16().collect();
    let plain = |&unit: &u16| unit >= 0x20 && !"\"*/:<>?\\|".encode_utf16().any(|no| no == unit);
    let needed = units.len().div_ceil(UNITS.len());
    if units.is_empty() || needed > entry.long_slots || !units.iter().all(plain) {
        return None;
    }
    // A zero ends the name, ones fill the slot.
    if units.len() < needed * UNITS.len() {
        units.push(0);
        units.resize(needed * UNITS.len(), 0xffff);
    }
    let mut slots = vec![[0; SLOT]; entry.long_slots - needed];
    for slot in &mut slots {
        slot[0] = DELETED;
        slot[11] = LONG_NAME;
    }
    for (number, part) in (1_u8..).zip(units.chunks(UNITS.len())).collect::<Vec<_>>().iter().rev() {
        let mut slot = [0; SLOT];
        slot[0] = if usize::from(*number) == needed { number | LAST } else { *number };
        slot[11] = LONG_NAME;
        slot[13] = checksum(short);
        for (at, unit) in UNITS.iter().zip(*part) {
            slot[*at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        slots.push(slot);
    }
    Some(slots)
}
