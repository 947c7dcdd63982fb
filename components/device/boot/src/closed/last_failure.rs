//! The reason for the next boot, in an EFI variable: nothing else that can be written outlives a
//! boot without its state volume.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use crate::places::Places;

const PATH: &str =
    "sys/firmware/efi/efivars/HoldfastLastFailure-9d4c1f0e-6a1b-4b0f-8f3c-5b7e2a90d6c4";
/// Variables share a small flash chip.
const LIMIT: usize = 512;
/// Non-volatile, and for boot services and the running system (UEFI 2.10 section 8.2).
const ATTRIBUTES: [u8; 4] = 7_u32.to_le_bytes();

/// Records a text, cut to 512 bytes.
pub fn record(places: &Places, text: &str) -> io::Result<()> {
    let path = places.at(PATH);
    make_mutable(&path)?;
    // The kernel takes a variable's attributes and content in one write.
    let content = [&ATTRIBUTES, cut(text).as_bytes()].concat();
    OpenOptions::new().write(true).create(true).truncate(false).open(path)?.write_all(&content)
}

/// The kernel protects variables that it does not know.
fn make_mutable(path: &Path) -> io::Result<()> {
    if !fs::exists(path)? {
        return Ok(());
    }
    let file = File::open(path)?;
    let flags = ioctl_getflags(&file)?;
    if flags.contains(IFlags::IMMUTABLE) {
        ioctl_setflags(&file, flags - IFlags::IMMUTABLE)?;
    }
    Ok(())
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_cut_between_characters() {
        assert_eq!(cut("abc"), "abc");
        let long = format!("{}ä", "a".repeat(511));
        assert_eq!(cut(&long), "a".repeat(511));
    }

    #[test]
    fn attributes_come_first() {
        // A folder with inode flags stands for efivarfs, which has them too.
        let root = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let places = Places::from_options(&[format!("--root={}", root.path().display())]).unwrap();
        assert!(record(&places, "x").is_err());
        fs::create_dir_all(places.at(PATH).parent().unwrap()).unwrap();
        record(&places, "reason").unwrap();
        assert_eq!(fs::read(places.at(PATH)).unwrap(), b"\x07\0\0\0reason");
    }
}
