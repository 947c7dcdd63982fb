//! Writing a golden image onto a disk.
//!
//! The first mebibyte, with the partition table, is erased before and written after everything else:
//! a disk on which an installation was interrupted has no table, so nothing boots from it, and the
//! installation begins anew.
#![forbid(unsafe_code)]

pub mod error;
pub mod image;
pub mod site;
pub mod target;
pub mod write;

pub use error::InstallError;
pub use image::Image;
pub use site::SiteFiles;
pub use target::Target;
pub use write::{Progress, Step, write};

/// The table and its protective MBR are in it, and no partition.
pub const HEAD: u64 = 1 << 20;
