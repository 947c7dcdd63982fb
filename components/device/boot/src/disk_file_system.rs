//! File systems that are mounted nowhere: only this program sees them, until it has proved what
//! they are. They vanish with the last handle.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, fsync, openat, renameat, unlinkat},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
    },
};

use crate::files::read_limited;

/// Whether a file system may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only read.
    Read,
    /// Read and written.
    Write,
}

/// A file system that is mounted nowhere, with neither devices nor set-user-id programs.
#[derive(Debug)]
pub struct Detached(OwnedFd);

impl Detached {
    /// Opens the file system on a device.
    pub fn open(device: &Path, kind: &str, access: Access) -> io::Result<Self> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", device)?;
        let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
        if access == Access::Read {
            fsconfig_set_flag(&context, "ro")?;
            attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        }
        fsconfig_create(&context)?;
        Ok(Self(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?))
    }

    /// Uses a folder as if it were a file system.
    pub fn from_folder(folder: &Path) -> io::Result<Self> {
        // fsmount(2) gives a handle of this kind too.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, folder, flags, Mode::empty())?))
    }

    /// Reads a regular file of at most `limit` bytes; `None` if it is not there. Only the last part
    /// of the path is protected from being a link.
    pub fn read(&self, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        // Not to hang on a pipe that somebody put there.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mut file = match openat(&self.0, path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        read_limited(&mut file, limit).map(Some)
    }

    /// Puts a file at the top in place so that after a power cut it is there as a whole or not.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = format!("{name}.new");
        match unlinkat(&self.0, &new, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.0, &new, flags, Mode::from_raw_mode(0o600))?);
        file.write_all(content)?;
        file.sync_all()?;
        self.rename(&new, name)
    }

    /// Gives a file at the top another name, in place of the one that has it.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        renameat(&self.0, from, &self.0, to)?;
        self.sync_top()
    }

    fn sync_top(&self) -> io::Result<()> {
        let top = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(fsync(openat(&self.0, ".", top, Mode::empty())?)?)
    }

    /// Shows the file system at a folder, for everybody.
    pub fn attach(self, folder: &Path) -> io::Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        Ok(move_mount(&self.0, "", CWD, folder, flags)?)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn files_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let fs = Detached::from_folder(folder.path()).unwrap();
        assert_eq!(fs.read("a", 10).unwrap(), None);
        fs::write(folder.path().join("a.new"), "left over").unwrap();
        fs.write("a", b"12345").unwrap();
        fs.write("a", b"1234").unwrap();
        assert_eq!(fs.read("a", 4).unwrap().as_deref(), Some(&b"1234"[..]));
        assert!(fs.read("a", 3).unwrap_err().to_string().contains("more than 3"));
        assert!(!folder.path().join("a.new").exists());
        fs.write("b", b"other").unwrap();
        fs.rename("b", "a").unwrap();
        assert_eq!(fs.read("a", 9).unwrap().as_deref(), Some(&b"other"[..]));
        assert_eq!(fs.read("b", 9).unwrap(), None);
    }

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let fs = Detached::from_folder(folder.path()).unwrap();
        symlink("/etc/hostname", folder.path().join("link")).unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(fs.read("link", 100).is_err());
        assert!(fs.read("folder", 100).unwrap_err().to_string().contains("regular"));
    }
}
