//! The file system in the state volume.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use crate::{
    disk_file_system::{Access, Detached},
    program,
};

const CHECKER: &str = "/usr/sbin/e2fsck";
/// Nothing wrong, and everything put right (e2fsck(8)).
const PASSED: [i32; 2] = [0, 1];

/// How the file system was left (kernel: filesystems/ext4/super.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Clean,
    Unclean,
    NoFileSystem,
}

/// Checks the file system if it was not left clean, and opens it.
pub fn open(device: &Path) -> Result<Detached, String> {
    let at = |error: io::Error| format!("{}: {error}", device.display());
    match File::open(device).and_then(|mut disk| condition(&mut disk)).map_err(at)? {
        Condition::NoFileSystem => return Err("there is no ext4 file system in it".to_owned()),
        Condition::Clean => {}
        Condition::Unclean => {
            program::run(CHECKER, ["-p".as_ref(), device.as_os_str()], &PASSED)
                .map_err(|error| error.to_string())?;
        }
    }
    Detached::open(device, "ext4", Access::Write).map_err(at)
}

fn condition(disk: &mut (impl Read + Seek)) -> io::Result<Condition> {
    let mut superblock = [0; 1024];
    disk.seek(SeekFrom::Start(1024))?;
    disk.read_exact(&mut superblock)?;
    let half = |at: usize| u16::from_le_bytes([superblock[at], superblock[at + 1]]);
    let (magic, state, incompatible) = (half(0x38), half(0x3A), half(0x60));
    let (cleanly_unmounted, has_errors, journal_in_use) = (1, 2, 4);
    Ok(if magic != 0xEF53 {
        Condition::NoFileSystem
    } else if state & cleanly_unmounted == 0
        || state & has_errors != 0
        || incompatible & journal_in_use != 0
    {
        Condition::Unclean
    } else {
        Condition::Clean
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn conditions() {
        for (magic, state, incompatible, expected) in [
            (0xEF53_u16, 1_u16, 0x2C2_u16, Condition::Clean),
            (0xEF53, 0, 0x2C2, Condition::Unclean),
            (0xEF53, 3, 0x2C2, Condition::Unclean),
            (0xEF53, 1, 0x2C6, Condition::Unclean),
            (0, 1, 0, Condition::NoFileSystem),
        ] {
            let mut disk = vec![0; 2048];
            for (at, value) in [(0x38, magic), (0x3A, state), (0x60, incompatible)] {
                disk[1024 + at..1026 + at].copy_from_slice(&value.to_le_bytes());
            }
            assert_eq!(condition(&mut Cursor::new(disk)).unwrap(), expected);
        }
        assert!(condition(&mut Cursor::new(vec![0; 1500])).is_err());
    }
}
