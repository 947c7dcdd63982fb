//! Reading and writing of GUID partition tables (UEFI 2.10 section 5.3).

use crate::Guid;

/// Bytes of a logical block; Holdfast's disks have 512.
pub const BLOCK: u64 = 512;
/// Blocks that hold the 128 partition entries.
pub const ENTRY_BLOCKS: u64 = 32;

const BLOCK_SIZE: usize = 512;
const ENTRIES: u32 = 128;
const ENTRY_SIZE: u32 = 128;
const ENTRY: usize = 128;
const HEADER_SIZE: u32 = 92;
const HEADER: usize = 92;
const SIGNATURE: &[u8; 8] = b"EFI PART";

/// A used entry of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Number as the kernel counts it, from 1.
    pub number: u32,
    /// What it holds (`types`).
    pub kind: Guid,
    /// Which one it is.
    pub uuid: Guid,
    /// First block.
    pub first: u64,
    /// Last block, inclusive.
    pub last: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// Label, at most 36 UTF-16 units.
    pub label: String,
}

impl Partition {
    /// Byte offset on the disk.
    pub fn offset(&self) -> u64 {
        self.first * BLOCK
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        (self.last - self.first + 1) * BLOCK
    }
}

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpt {
    /// The disk's own GUID.
    pub disk: Guid,
    /// Used entries, by number.
    pub partitions: Vec<Partition>,
}

/// Why bytes are no partition table, or a table cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GptError {
    /// Fewer bytes than the table needs.
    #[error("partition table is cut short: {have} bytes, {need} needed")]
    Short {
        /// Bytes given.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// No `EFI PART` in block 1.
    #[error("block 1 does not begin with the signature of a GUID partition table")]
    Signature,
    /// A field has a value that is not supported.
    #[error("partition table header: {0} is not supported")]
    Unsupported(&'static str),
    /// A CRC does not hold.
    #[error("checksum of the partition table's {0} does not hold")]
    Checksum(&'static str),
    /// An entry is impossible.
    #[error("partition {0}: its blocks are out of order or beyond the disk")]
    Range(u32),
    /// A label is longer than 36 UTF-16 units.
    #[error("label `{0}` is longer than 36 characters")]
    Label(String),
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32_at(b, at)) | u64::from(u32_at(b, at + 4)) << 32
}

fn guid_at(b: &[u8], at: usize) -> Guid {
    let mut raw = [0; 16];
    raw.copy_from_slice(&b[at..at + 16]);
    Guid::from_disk(raw)
}

impl Gpt {
    /// Bytes from the start of the disk that `read` needs.
    pub const READ_SIZE: usize = BLOCK_SIZE * 34;

    /// Reads the primary table from the first `READ_SIZE` bytes of a disk.
    pub fn read(start: &[u8]) -> Result<Self, GptError> {
        if start.len() < Self::READ_SIZE {
            return Err(GptError::Short { have: start.len(), need: Self::READ_SIZE });
        }
        let header = &start[BLOCK_SIZE..2 * BLOCK_SIZE];
        if &header[..8] != SIGNATURE {
            return Err(GptError::Signature);
        }
        if u32_at(header, 12) != HEADER_SIZE {
            return Err(GptError::Unsupported("its size"));
        }
        let mut plain = header[..HEADER].to_vec();
        plain[16..20].fill(0);
        if crc32fast::hash(&plain) != u32_at(header, 16) {
            return Err(GptError::Checksum("header"));
        }
        if u64_at(header, 72) != 2
            || u32_at(header, 80) != ENTRIES
            || u32_at(header, 84) != ENTRY_SIZE
        {
            return Err(GptError::Unsupported("the place, number or size of the entries"));
        }
        let entries = &start[2 * BLOCK_SIZE..Self::READ_SIZE];
        if crc32fast::hash(entries) != u32_at(header, 88) {
            return Err(GptError::Checksum("entries"));
        }
        let (first_usable, last_usable) = (u64_at(header, 40), u64_at(header, 48));
        let mut partitions = Vec::new();
        for (number, entry) in (1..).zip(entries.chunks_exact(ENTRY)) {
            let kind = guid_at(entry, 0);
            if kind == Guid::NIL {
                continue;
            }
            let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
            if first > last || first < first_usable || last > last_usable {
                return Err(GptError::Range(number));
            }
            let units: Vec<u16> = entry[56..128]
                .chunks_exact(2)
                .map(|c| u16::from_le_bytes([c[0], c[1]]))
                .take_while(|&u| u != 0)
                .collect();
            partitions.push(Partition {
                number,
                kind,
                uuid: guid_at(entry, 16),
                first,
                last,
                attributes: u64_at(entry, 48),
                label: String::from_utf16_lossy(&units),
            });
        }
        Ok(Self { disk: guid_at(header, 56), partitions })
    }

    /// The bytes at the start (protective MBR, header, entries) and at the end (entries, header)
    /// of a disk of `blocks` blocks.
    pub fn write(&self, blocks: u64) -> Result<(Vec<u8>, Vec<u8>), GptError> {
        let need = 2 * (ENTRY_BLOCKS + 1) + 2;
        if blocks < need {
            return Err(GptError::Short {
                have: usize::try_from(blocks * BLOCK).unwrap_or(0),
                need: usize::try_from(need * BLOCK).unwrap_or(usize::MAX),
            });
        }
        let (first_usable, last_usable) = (2 + ENTRY_BLOCKS, blocks - ENTRY_BLOCKS - 2);
        let mut entries = vec![0; ENTRY * ENTRY];
        for p in &self.partitions {
            let index = p.number.wrapping_sub(1) as usize;
            if p.number > ENTRIES
                || p.number == 0
                || p.first > p.last
                || p.first < first_usable
                || p.last > last_usable
            {
                return Err(GptError::Range(p.number));
            }
            let e = &mut entries[index * ENTRY..(index + 1) * ENTRY];
            e[0..16].copy_from_slice(&p.kind.to_disk());
            e[16..32].copy_from_slice(&p.uuid.to_disk());
            e[32..40].copy_from_slice(&p.first.to_le_bytes());
            e[40..48].copy_from_slice(&p.last.to_le_bytes());
            e[48..56].copy_from_slice(&p.attributes.to_le_bytes());
            if p.label.encode_utf16().count() > 36 {
                return Err(GptError::Label(p.label.clone()));
            }
            for (place, unit) in e[56..].chunks_exact_mut(2).zip(p.label.encode_utf16()) {
                place.copy_from_slice(&unit.to_le_bytes());
            }
        }
        let crc = crc32fast::hash(&entries);
        let header = |own: u64, other: u64, table: u64| {
            let mut h = vec![0; BLOCK_SIZE];
            h[..8].copy_from_slice(SIGNATURE);
            h[8..12].copy_from_slice(&0x0001_0000_u32.to_le_bytes());
            h[12..16].copy_from_slice(&HEADER_SIZE.to_le_bytes());
            h[24..32].copy_from_slice(&own.to_le_bytes());
            h[32..40].copy_from_slice(&other.to_le_bytes());
            h[40..48].copy_from_slice(&first_usable.to_le_bytes());
            h[48..56].copy_from_slice(&last_usable.to_le_bytes());
            h[56..72].copy_from_slice(&self.disk.to_disk());
            h[72..80].copy_from_slice(&table.to_le_bytes());
            h[80..84].copy_from_slice(&ENTRIES.to_le_bytes());
            h[84..88].copy_from_slice(&ENTRY_SIZE.to_le_bytes());
            h[88..92].copy_from_slice(&crc.to_le_bytes());
            let own_crc = crc32fast::hash(&h[..HEADER]);
            h[16..20].copy_from_slice(&own_crc.to_le_bytes());
            h
        };
        let mut start = protective_mbr(blocks);
        start.extend(header(1, blocks - 1, 2));
        start.extend(&entries);
        let mut end = entries;
        end.extend(header(blocks - 1, 1, blocks - ENTRY_BLOCKS - 1));
        Ok((start, end))
    }
}

fn protective_mbr(blocks: u64) -> Vec<u8> {
    let mut mbr = vec![0; BLOCK_SIZE];
    mbr[446..454].copy_from_slice(&[0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF]);
    mbr[454..458].copy_from_slice(&1_u32.to_le_bytes());
    let size = u32::try_from(blocks - 1).unwrap_or(u32::MAX);
    mbr[458..462].copy_from_slice(&size.to_le_bytes());
    mbr[510..].copy_from_slice(&[0x55, 0xAA]);
    mbr
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types;
    use proptest::prelude::*;

    fn table() -> Gpt {
        Gpt {
            disk: Guid::from_u128(7),
            partitions: vec![
                Partition {
                    number: 1,
                    kind: types::ESP,
                    uuid: Guid::from_u128(1),
                    first: 2048,
                    last: 4095,
                    attributes: 0,
                    label: "esp".into(),
                },
                Partition {
                    number: 3,
                    kind: types::VAR,
                    uuid: Guid::from_u128(3),
                    first: 4096,
                    last: 5000,
                    attributes: 1 << 60,
                    label: "var ä".into(),
                },
            ],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let (start, end) = table().write(8192).unwrap();
        assert_eq!(start.len(), Gpt::READ_SIZE);
        assert_eq!(end.len() as u64, BLOCK * (ENTRY_BLOCKS + 1));
        assert_eq!(Gpt::read(&start).unwrap(), table());
    }

    #[test]
    fn every_flipped_byte_of_header_and_entries_is_noticed() {
        let (start, _) = table().write(8192).unwrap();
        for at in (512..512 + HEADER).chain(1024..Gpt::READ_SIZE) {
            let mut bad = start.clone();
            bad[at] ^= 1;
            assert!(Gpt::read(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn impossible_entries_are_refused() {
        for (first, last) in [(10, 20), (4096, 4095), (4096, 8191)] {
            let mut bad = table();
            bad.partitions[1].first = first;
            bad.partitions[1].last = last;
            assert_eq!(bad.write(8192), Err(GptError::Range(3)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let mut start = bytes.clone();
            start.resize(Gpt::READ_SIZE, 0);
            prop_assert!(Gpt::read(&bytes).is_err());
            prop_assert!(Gpt::read(&start).is_err());
        }
    }
}
