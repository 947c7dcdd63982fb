//! GUID partition tables, the identifiers that Holdfast's disks carry, and names on the boot
//! partition.
//!
//! Reading is strict: both CRCs of the header must hold, and every size is bounded before it is
//! believed. Sources: UEFI 2.10 section 5.3; UAPI Discoverable Partitions Specification.

#![forbid(unsafe_code)]

pub mod fat;
mod gpt;
mod guid;
pub mod types;
pub mod verity;

pub use gpt::{BLOCK, ENTRY_BLOCKS, Gpt, GptError, Partition};
pub use guid::{Guid, GuidError};
