//! Partition types (UAPI Discoverable Partitions Specification, x86-64).

use crate::Guid;

/// EFI system partition.
pub const ESP: Guid = Guid::from_u128(0xC12A7328_F81F_11D2_BA4B_00A0C93EC93B);
/// Root file system, x86-64.
pub const ROOT: Guid = Guid::from_u128(0x4F68BCE3_E8CD_4DB1_96E7_FBCAF984B709);
/// Verity hash tree of the root file system, x86-64.
pub const ROOT_VERITY: Guid = Guid::from_u128(0x2C7357ED_EBD2_46D9_AEC1_23D437EC2BF5);
/// PKCS#7 signature of the root's verity root hash, x86-64.
pub const ROOT_VERITY_SIG: Guid = Guid::from_u128(0x41092B05_9FC8_4523_994F_2DEF0408B176);
/// Variable data.
pub const VAR: Guid = Guid::from_u128(0x4D21B016_B534_45C2_A9FB_5C16E091FD2D);
