//! The kernel's view of USB in files (Linux, Documentation/ABI/testing/sysfs-bus-usb).

#[cfg(test)]
pub(crate) mod fake;
mod tree;

use std::io;

pub use tree::SysfsTree;

/// A device's folder, opened.
#[derive(Debug)]
pub struct Opened<F> {
    /// What reads and writes go through: it stays with this device. Once the device is gone they
    /// fail, also when another one came to the same port.
    pub folder: F,
    /// Path without the mount point, as in `/devices/pci0000:00/0000:00:04.0/usb1/1-1`.
    pub path: String,
}

/// The files of USB devices.
pub trait Sysfs {
    /// Handle of a device's folder.
    type Folder;

    /// Names of devices and interfaces that are there, each with the number of what stands for it;
    /// none without USB. What comes in the place of something has another number.
    fn names(&self) -> io::Result<Vec<(String, u64)>>;

    /// Opens the folder that a name leads to now.
    fn open(&self, name: &str) -> io::Result<Opened<Self::Folder>>;

    /// Whether a driver of devices has it: the kernel has set up what was found, or is about to end
    /// that while it holds the lock that a write waits for.
    fn is_set_up(&self, folder: &Self::Folder) -> io::Result<bool>;

    /// Reads an attribute, a path below the folder; at most `limit` bytes.
    fn read(&self, folder: &Self::Folder, attribute: &str, limit: usize) -> io::Result<Vec<u8>>;

    /// Writes an attribute.
    fn write(&self, folder: &Self::Folder, attribute: &str, value: &str) -> io::Result<()>;

    /// Names in a folder below; `""` is the folder itself.
    fn list(&self, folder: &Self::Folder, below: &str) -> io::Result<Vec<String>>;

    /// Looks for drivers of an interface that was authorised after it was set up.
    fn probe(&self, interface: &str) -> io::Result<()>;
}

/// Whether an error says that the device has gone.
pub fn is_gone(error: &io::Error) -> bool {
    const ENODEV: i32 = 19;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ENODEV)
}
