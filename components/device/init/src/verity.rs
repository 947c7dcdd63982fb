//! Opens the root partition through dm-verity.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::Read,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use holdfast_disk::{
    Guid, Partition, types,
    verity::{SUPERBLOCK, Superblock},
};
use serde::Deserialize;

use crate::{
    boot_disk::BootDisk,
    error::{InitError, at},
    sys,
};

/// Description of the key that holds the root hash's signature.
const SIGNATURE_KEY: &str = "holdfast:root";

/// Signature partition (Discoverable Partitions Specification, "Verity").
#[derive(Deserialize)]
struct SignatureJson {
    #[serde(rename = "rootHash")]
    root_hash: String,
    signature: String,
}

/// The three partitions of a slot.
struct Slot<'a> {
    root: &'a Partition,
    tree: &'a Partition,
    signature: &'a Partition,
}

/// Opens the root file system as `/dev/dm-0`, read-only; the kernel checks the signature of the
/// root hash against its keyrings and panics on a block that does not match.
pub fn open(disk: &BootDisk, root_hash: &[u8; 32]) -> Result<(), InitError> {
    let slot = find_slot(disk, root_hash)?;
    let tree = disk.partition(slot.tree.number);
    let mut head = [0; SUPERBLOCK];
    at(format!("read {tree}"), File::open(&tree).and_then(|mut f| f.read_exact(&mut head)))?;
    let superblock =
        Superblock::read(&head).map_err(|e| InitError::Verity(format!("{tree}: {e}")))?;
    if superblock
        .data_blocks
        .checked_mul(superblock.data_block.into())
        .is_none_or(|n| n > slot.root.size())
    {
        return Err(InitError::Verity(format!("{tree}: covers more than the root partition")));
    }
    let path = disk.partition(slot.signature.number);
    let signature = read_signature(&path, slot.signature.size(), root_hash)?;
    at("add the signature of the root hash", sys::add_user_key(c"holdfast:root", &signature))?;

    let table = table(&superblock, &disk.partition(slot.root.number), &tree, root_hash);
    at("open device mapper", map(&superblock, &table))
}

/// The partitions whose UUIDs are the halves of the root hash, and the signature whose label is
/// that of the root.
fn find_slot<'a>(disk: &'a BootDisk, root_hash: &[u8; 32]) -> Result<Slot<'a>, InitError> {
    let half = |b: &[u8]| {
        let mut raw = [0; 16];
        raw.copy_from_slice(b);
        Guid::from_u128(u128::from_be_bytes(raw))
    };
    let find = |what: &str, test: &dyn Fn(&Partition) -> bool| {
        disk.table.partitions.iter().find(|p| test(p)).ok_or_else(|| {
            InitError::Verity(format!("/dev/{} has no {what} for the signed root hash", disk.name))
        })
    };
    let root =
        find("root partition", &|p| p.kind == types::ROOT && p.uuid == half(&root_hash[..16]))?;
    let tree =
        find("hash tree", &|p| p.kind == types::ROOT_VERITY && p.uuid == half(&root_hash[16..]))?;
    let signature =
        find("signature", &|p| p.kind == types::ROOT_VERITY_SIG && p.label == root.label)?;
    Ok(Slot { root, tree, signature })
}

fn read_signature(path: &str, size: u64, root_hash: &[u8; 32]) -> Result<Vec<u8>, InitError> {
    let mut raw = Vec::new();
    at(
        format!("read {path}"),
        File::open(path).and_then(|f| f.take(size.min(1 << 20)).read_to_end(&mut raw)),
    )?;
    let end = raw.iter().position(|&b| b == 0).unwrap_or(raw.len());
    let json: SignatureJson = serde_json::from_slice(&raw[..end])
        .map_err(|e| InitError::Verity(format!("{path}: {e}")))?;
    if json.root_hash != hex(root_hash) {
        return Err(InitError::Verity(format!("{path}: signs another root hash")));
    }
    BASE64_STANDARD
        .decode(json.signature)
        .map_err(|e| InitError::Verity(format!("{path}: signature: {e}")))
}

/// Target line of dm-verity (kernel: admin-guide/device-mapper/verity.rst).
fn table(superblock: &Superblock, root: &str, tree: &str, root_hash: &[u8; 32]) -> String {
    let first_hash_block = (SUPERBLOCK as u64).div_ceil(superblock.hash_block.into());
    let salt = if superblock.salt.is_empty() { "-".into() } else { hex(&superblock.salt) };
    format!(
        "1 {root} {tree} {} {} {} {first_hash_block} sha256 {} {salt} 3 panic_on_corruption \
         root_hash_sig_key_desc {SIGNATURE_KEY}",
        superblock.data_block,
        superblock.hash_block,
        superblock.data_blocks,
        hex(root_hash),
    )
}

const NAME: &[u8] = b"root";
const HEADER: usize = 312; // sizeof(struct dm_ioctl)
const TARGET: usize = 40; // sizeof(struct dm_target_spec)
const READ_ONLY: u32 = 1;

/// `_IOWR(0xfd, number, struct dm_ioctl)`.
const fn request(number: u64) -> u64 {
    3 << 30 | (HEADER as u64) << 16 | 0xfd << 8 | number
}

fn map(superblock: &Superblock, table: &str) -> std::io::Result<()> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/mapper/control")?;
    let uuid = format!("CRYPT-VERITY-{}-root", hex(&superblock.uuid));
    let mut create = header(HEADER, 0);
    create[176..176 + uuid.len()].copy_from_slice(uuid.as_bytes());
    sys::device_mapper(&control, request(3), &mut create)?;

    let line = (TARGET + table.len() + 1).next_multiple_of(8);
    let mut load = header(HEADER + line, READ_ONLY);
    load[20..24].copy_from_slice(&1_u32.to_ne_bytes()); // target_count
    let sectors = superblock.data_blocks * u64::from(superblock.data_block) / 512;
    let spec = &mut load[HEADER..];
    spec[8..16].copy_from_slice(&sectors.to_ne_bytes());
    spec[24..30].copy_from_slice(b"verity");
    spec[TARGET..TARGET + table.len()].copy_from_slice(table.as_bytes());
    sys::device_mapper(&control, request(9), &mut load)?;

    sys::device_mapper(&control, request(6), &mut header(HEADER, READ_ONLY))
}

/// A `struct dm_ioctl` for the device named `root`.
fn header(size: usize, flags: u32) -> Vec<u8> {
    let mut b = vec![0; size];
    b[0..4].copy_from_slice(&4_u32.to_ne_bytes()); // interface version 4.0.0
    b[12..16].copy_from_slice(&u32::try_from(size).unwrap_or(0).to_ne_bytes()); // data_size
    b[16..20].copy_from_slice(&(u32::try_from(HEADER).unwrap_or(0)).to_ne_bytes()); // data_start
    b[28..32].copy_from_slice(&flags.to_ne_bytes());
    b[48..48 + NAME.len()].copy_from_slice(NAME);
    b
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_disk::Gpt;

    fn disk(signature_label: &str) -> BootDisk {
        let part = |number, kind, uuid, label: &str| Partition {
            number,
            kind,
            uuid,
            first: 40,
            last: 50,
            attributes: 0,
            label: label.into(),
        };
        BootDisk {
            name: "vda".into(),
            table: Gpt {
                disk: Guid::NIL,
                partitions: vec![
                    part(
                        2,
                        types::ROOT,
                        Guid::from_u128(u128::from_be_bytes([1; 16])),
                        "holdfast_1",
                    ),
                    part(
                        3,
                        types::ROOT_VERITY,
                        Guid::from_u128(u128::from_be_bytes([2; 16])),
                        "holdfast_1",
                    ),
                    part(4, types::ROOT_VERITY_SIG, Guid::from_u128(9), signature_label),
                ],
            },
        }
    }

    fn hash() -> [u8; 32] {
        let mut hash = [1; 32];
        hash[16..].fill(2);
        hash
    }

    #[test]
    fn a_slot_is_found_by_its_root_hash() {
        let disk = disk("holdfast_1");
        let slot = find_slot(&disk, &hash()).unwrap();
        assert_eq!((slot.root.number, slot.tree.number, slot.signature.number), (2, 3, 4));
    }

    #[test]
    fn another_root_hash_or_label_is_no_slot() {
        assert!(find_slot(&disk("holdfast_1"), &[1; 32]).is_err());
        assert!(find_slot(&disk("holdfast_2"), &hash()).is_err());
    }

    #[test]
    fn the_table_names_every_value() {
        let superblock = Superblock {
            uuid: [0; 16],
            data_block: 4096,
            hash_block: 4096,
            data_blocks: 77,
            salt: vec![0xAB; 2],
        };
        assert_eq!(
            table(&superblock, "/dev/vda2", "/dev/vda3", &[0x0F; 32]),
            format!(
                "1 /dev/vda2 /dev/vda3 4096 4096 77 1 sha256 {} abab 3 panic_on_corruption root_hash_sig_key_desc holdfast:root",
                "0f".repeat(32)
            )
        );
    }

    #[test]
    fn requests_are_those_of_the_kernel_header() {
        assert_eq!(request(3), 0xc138_fd03);
        assert_eq!(request(9), 0xc138_fd09);
        assert_eq!(request(6), 0xc138_fd06);
    }
}
