//! The real one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirEntryExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, open, openat, statat};
use rustix::io::{Errno, read};

use super::{Opened, Sysfs};

/// From `bus/usb/devices` to the mount point.
const UP: &str = "../../../";
/// As much as an attribute gives at once.
const PAGE: usize = 4096;

/// sysfs at its mount point.
#[derive(Clone, Debug)]
pub struct SysfsTree {
    root: PathBuf,
    devices: PathBuf,
    probe: PathBuf,
}

impl SysfsTree {
    /// sysfs that is mounted here.
    pub fn at(root: &Path) -> Self {
        let bus = root.join("bus/usb");
        Self {
            root: root.to_owned(),
            devices: bus.join("devices"),
            probe: bus.join("drivers_probe"),
        }
    }
}

impl Sysfs for SysfsTree {
    type Folder = OwnedFd;

    fn names(&self) -> io::Result<Vec<(String, u64)>> {
        let entries = match fs::read_dir(&self.devices) {
            Ok(entries) => entries,
            // No driver of a controller was loaded yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // The links come and go with what they lead to; kernfs gives no inode number twice.
        let names = entries.map(|entry| {
            entry.map(|entry| Some((entry.file_name().into_string().ok()?, entry.ino())))
        });
        names.filter_map(Result::transpose).collect()
    }

    fn open(&self, name: &str) -> io::Result<Opened<OwnedFd>> {
        let link = fs::read_link(self.devices.join(name))?;
        // What the kernel writes leads up to the mount point and from there down without detours.
        let below = link.strip_prefix(UP).map_err(|_| {
            io::Error::other(format!("{name} does not lead into sysfs, but to {}", link.display()))
        })?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let folder = open(self.root.join(below), flags, Mode::empty())?;
        Ok(Opened { folder, path: format!("/{}", below.display()) })
    }

    fn is_set_up(&self, folder: &OwnedFd) -> io::Result<bool> {
        match statat(folder, "driver", AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            // The folder of what has gone has no attributes either.
            Err(Errno::NOENT) => {
                statat(folder, "authorized", AtFlags::SYMLINK_NOFOLLOW)?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read(&self, folder: &OwnedFd, attribute: &str, limit: usize) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(folder, attribute, flags, Mode::empty())?;
        let mut bytes = Vec::new();
        let mut page = [0; PAGE];
        while bytes.len() < limit {
            let want = (limit - bytes.len()).min(PAGE);
            let count = read(&file, &mut page[..want])?;
            bytes.extend_from_slice(&page[..count]);
            // A page or what is left: less is the end, which needs no call of its own.
            if count < want {
                break;
            }
        }
        Ok(bytes)
    }

    fn write(&self, folder: &OwnedFd, attribute: &str, value: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let mut file = File::from(openat(folder, attribute, flags, Mode::empty())?);
        file.write_all(value.as_bytes())
    }

    fn list(&self, folder: &OwnedFd, below: &str) -> io::Result<Vec<String>> {
        let path = if below.is_empty() { "." } else { below };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let below = openat(folder, path, flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&below)? {
            if let Ok(name) = entry?.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn probe(&self, interface: &str) -> io::Result<()> {
        // Neither made nor cut off: it is an attribute.
        OpenOptions::new().write(true).open(&self.probe)?.write_all(interface.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_stays_with_its_device() {
        let root = tempfile::tempdir().unwrap();
        let tree = SysfsTree::at(root.path());
        assert!(tree.names().unwrap().is_empty());
        let device = root.path().join("devices/pci/usb1/1-1");
        let plug = || {
            fs::create_dir_all(device.join("1-1:1.0")).unwrap();
            fs::write(device.join("authorized"), "0\n").unwrap();
        };
        plug();
        fs::create_dir_all(root.path().join("bus/usb/devices")).unwrap();
        symlink("../../../devices/pci/usb1/1-1", root.path().join("bus/usb/devices/1-1")).unwrap();
        assert_eq!(tree.names().unwrap()[0].0, "1-1");
        let opened = tree.open("1-1").unwrap();
        assert_eq!(opened.path, "/devices/pci/usb1/1-1");
        assert_eq!(tree.read(&opened.folder, "authorized", 1).unwrap(), b"0");
        tree.write(&opened.folder, "authorized", "1").unwrap();
        assert_eq!(fs::read_to_string(device.join("authorized")).unwrap(), "1\n");
        let mut names = tree.list(&opened.folder, "").unwrap();
        names.sort();
        assert_eq!(names, ["1-1:1.0", "authorized"]);
        assert!(tree.list(&opened.folder, "1-1:1.0").unwrap().is_empty());

        assert!(!tree.is_set_up(&opened.folder).unwrap());
        symlink("../../../../bus/usb/drivers/usb", device.join("driver")).unwrap();
        assert!(tree.is_set_up(&opened.folder).unwrap());

        // Another device at the same port is none of the handle's business.
        fs::rename(&device, root.path().join("gone")).unwrap();
        fs::remove_dir_all(root.path().join("gone")).unwrap();
        plug();
        let error = tree.write(&opened.folder, "authorized", "1").unwrap_err();
        assert!(super::super::is_gone(&error), "{error}");
        let error = tree.is_set_up(&opened.folder).unwrap_err();
        assert!(super::super::is_gone(&error), "{error}");
        assert_eq!(fs::read_to_string(device.join("authorized")).unwrap(), "0\n");
    }

    #[test]
    fn attributes_are_read_to_their_end_or_limit() {
        let root = tempfile::tempdir().unwrap();
        let tree = SysfsTree::at(root.path());
        let folder = open(root.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        for length in [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE] {
            fs::write(root.path().join("attribute"), vec![7; length]).unwrap();
            for limit in [1, PAGE, PAGE + 1, 2 * PAGE] {
                let read = tree.read(&folder, "attribute", limit).unwrap();
                assert_eq!(read.len(), length.min(limit), "{length} of {limit}");
            }
        }
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let devices = root.path().join("bus/usb/devices");
        fs::create_dir_all(&devices).unwrap();
        fs::create_dir_all(root.path().join("devices/usb1")).unwrap();
        symlink(root.path().join("devices/usb1"), devices.join("usb1")).unwrap();
        let error = SysfsTree::at(root.path()).open("usb1").unwrap_err();
        assert!(error.to_string().contains("does not lead into sysfs"), "{error}");
    }
}
