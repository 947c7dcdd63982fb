//! The dm-verity superblock (cryptsetup, on-disk format of veritysetup, version 1).

/// Bytes of the superblock.
pub const SUPERBLOCK: usize = 512;

/// What the superblock says of the hash tree that follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// UUID of the device.
    pub uuid: [u8; 16],
    /// Bytes of a data block.
    pub data_block: u32,
    /// Bytes of a hash block.
    pub hash_block: u32,
    /// Number of data blocks.
    pub data_blocks: u64,
    /// Salt, at most 256 bytes.
    pub salt: Vec<u8>,
}

/// Why bytes are no superblock that Holdfast uses.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SuperblockError {
    /// Fewer than 512 bytes.
    #[error("verity superblock is cut short")]
    Short,
    /// Wrong signature, version, hash type or algorithm.
    #[error("not a version 1 sha256 verity superblock")]
    Format,
    /// Block sizes or counts out of range.
    #[error("verity superblock has impossible sizes")]
    Sizes,
}

impl Superblock {
    /// Reads a superblock. Everything in it is untrusted until the root hash confirms the tree.
    pub fn read(b: &[u8]) -> Result<Self, SuperblockError> {
        let b: &[u8; SUPERBLOCK] =
            b.get(..SUPERBLOCK).and_then(|b| b.try_into().ok()).ok_or(SuperblockError::Short)?;
        let u32_at = |at: usize| u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        let mut algorithm = [0; 32];
        algorithm[..6].copy_from_slice(b"sha256");
        if &b[..8] != b"verity\0\0" || u32_at(8) != 1 || u32_at(12) != 1 || b[32..64] != algorithm {
            return Err(SuperblockError::Format);
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&b[16..32]);
        let (data_block, hash_block) = (u32_at(64), u32_at(68));
        let data_blocks = u64::from(u32_at(72)) | u64::from(u32_at(76)) << 32;
        let salt_size = usize::from(u16::from_le_bytes([b[80], b[81]]));
        let block_ok = |n: u32| n.is_power_of_two() && (512..=65536).contains(&n);
        if !block_ok(data_block)
            || !block_ok(hash_block)
            || data_blocks == 0
            || data_blocks > 1 << 40
            || salt_size > 256
        {
            return Err(SuperblockError::Sizes);
        }
        Ok(Self { uuid, data_block, hash_block, data_blocks, salt: b[88..88 + salt_size].to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> [u8; SUPERBLOCK] {
        let mut b = [0; SUPERBLOCK];
        b[..8].copy_from_slice(b"verity\0\0");
        b[8] = 1;
        b[12] = 1;
        b[32..38].copy_from_slice(b"sha256");
        b[64..68].copy_from_slice(&4096_u32.to_le_bytes());
        b[68..72].copy_from_slice(&4096_u32.to_le_bytes());
        b[72] = 9;
        b[80] = 32;
        b[88..120].fill(5);
        b
    }

    #[test]
    fn reads_a_superblock() {
        let s = Superblock::read(&good()).unwrap();
        assert_eq!((s.data_block, s.hash_block, s.data_blocks), (4096, 4096, 9));
        assert_eq!(s.salt, vec![5; 32]);
    }

    #[test]
    fn refuses_others() {
        for (at, value, error) in [
            (0, b'V', SuperblockError::Format),
            (8, 2, SuperblockError::Format),
            (32, b'S', SuperblockError::Format),
            (38, b'x', SuperblockError::Format),
            (64, 1, SuperblockError::Sizes),
            (72, 0, SuperblockError::Sizes),
            (81, 2, SuperblockError::Sizes),
        ] {
            let mut b = good();
            b[at] = value;
            assert_eq!(Superblock::read(&b), Err(error), "byte {at}");
        }
        assert_eq!(Superblock::read(&good()[..511]), Err(SuperblockError::Short));
    }
}
