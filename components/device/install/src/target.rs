//! The disk that is to be written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use crate::{Image, InstallError};

/// A disk of its own: no file system on it is mounted, and nothing else holds it.
#[derive(Debug)]
pub struct Target {
    pub(crate) file: File,
    pub(crate) size: u64,
    pub(crate) name: String,
}

impl Target {
    /// Opens a block device, or the file of a virtual disk, for itself alone.
    pub fn open(path: &Path, image: &Image) -> Result<Self, InstallError> {
        let name = path.display().to_string();
        let cannot = |what: &str| InstallError::io(format!("cannot {what} {name}"));
        let kind = fs::metadata(path).map_err(cannot("open"))?.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            let source = io::Error::other("it is neither a block device nor a file");
            return Err(cannot("write")(source));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if kind.is_block_device() {
            // The kernel refuses this while a partition of the disk is mounted or mapped.
            options.custom_flags(i32::try_from(OFlags::EXCL.bits()).unwrap_or_default());
        }
        let mut file = options.open(path).map_err(|error| {
            if error.kind() == io::ErrorKind::ResourceBusy {
                InstallError::Busy { disk: name.clone() }
            } else {
                cannot("open")(error)
            }
        })?;
        let size = file.seek(SeekFrom::End(0)).map_err(cannot("measure"))?;
        if size < image.needs() {
            let (has, needs) = (size >> 20, image.needs().div_ceil(1 << 20));
            return Err(InstallError::Small { disk: name, has, needs });
        }
        Ok(Self { file, size, name })
    }

    /// Bytes that it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What the maker calls it, where the kernel knows.
    pub fn model(path: &Path) -> Option<String> {
        let device = fs::canonicalize(path).ok()?;
        let folder = Path::new("/sys/class/block").join(device.file_name()?);
        let model = fs::read_to_string(folder.join("device/model")).ok()?;
        Some(model.trim().to_owned()).filter(|model| !model.is_empty())
    }
}
