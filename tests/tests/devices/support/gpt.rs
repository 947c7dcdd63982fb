//! Whether the partition table of a disk can be used after a power cut.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, bail};
use holdfast_qemu::{Disk, Gpt};

const SECTOR: u64 = 512;

/// The first partition table of a disk; where it is damaged, the one that the firmware puts in its
/// place (EDK II, `PartitionDxe`): the table at the very end of the disk.
pub fn read_or_restore(disk: &Disk) -> Result<Gpt> {
    let first = match Gpt::read(disk.path()) {
        Ok(table) => return Ok(table),
        Err(error) => error,
    };
    if let Err(last) = restore(disk.path()) {
        bail!("neither table can be used: the first: {first}; the one at the end: {last}");
    }
    Ok(Gpt::read(disk.path())?)
}

/// Writes the last table over the first (UEFI 2.10, 5.3.2).
fn restore(path: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let last = file.metadata()?.len() / SECTOR - 1;
    let mut header = [0; 512];
    file.read_exact_at(&mut header, last * SECTOR)?;
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let half = |at: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&header[at..at + 4]);
        u32::from_le_bytes(bytes)
    };
    if &header[..8] != b"EFI PART" || number(24) != last || half(84) != 128 || half(80) != 128 {
        bail!("there is none");
    }
    let mut entries = vec![0; 128 * 128];
    file.read_exact_at(&mut entries, number(72) * SECTOR)?;
    let mut unsigned = header[..92].to_vec();
    unsigned[16..20].fill(0);
    if crc32fast::hash(&unsigned) != half(16) || crc32fast::hash(&entries) != half(88) {
        bail!("its checksums are wrong");
    }
    header[24..32].copy_from_slice(&1_u64.to_le_bytes());
    header[32..40].copy_from_slice(&last.to_le_bytes());
    header[72..80].copy_from_slice(&2_u64.to_le_bytes());
    header[16..20].fill(0);
    let checksum = crc32fast::hash(&header[..92]);
    header[16..20].copy_from_slice(&checksum.to_le_bytes());
    file.write_all_at(&entries, 2 * SECTOR)?;
    file.write_all_at(&header, SECTOR)?;
    Ok(())
}

#[test]
fn the_last_table_takes_the_place_of_a_damaged_first() {
    use holdfast_qemu::{NewPartition, partition_types};
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::blank(&folder.path().join("disk"), 4 << 20).unwrap();
    let part = NewPartition { label: "x", type_id: partition_types::VAR, size: 0 };
    Gpt::create(disk.path(), &[part]).unwrap();
    disk.flip_byte(1024).unwrap();
    assert!(disk.gpt().is_err());
    assert!(read_or_restore(&disk).unwrap().by_label("x").is_some());
    assert!(disk.gpt().is_ok());
    disk.flip_byte(1024).unwrap();
    disk.flip_byte((4 << 20) - 512).unwrap();
    assert!(read_or_restore(&disk).is_err());
}
