//! The image that is to be installed.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use holdfast_disk::{Gpt, types};

use crate::{HEAD, InstallError};

/// Room for the state volume, which the first boot makes in the rest of the disk.
const STATE_VOLUME: u64 = 512 << 20;

/// An image that is a golden disk.
#[derive(Debug)]
pub struct Image {
    pub(crate) file: File,
    pub(crate) size: u64,
    pub(crate) esp: Range<u64>,
    /// Label of its root partition: product and version.
    pub release: String,
}

impl Image {
    /// Opens an image and reads its partition table.
    pub fn open(path: &Path) -> Result<Self, InstallError> {
        let shown = path.display().to_string();
        let file = File::open(path).map_err(InstallError::io(format!("cannot open {shown}")))?;
        let no_image = |reason: String| InstallError::Image { image: shown.clone(), reason };
        let size = file
            .metadata()
            .map_err(InstallError::io(format!("cannot read {}", path.display())))?
            .len();
        let mut start = vec![0; Gpt::READ_SIZE];
        file.read_exact_at(&mut start, 0).map_err(|error| no_image(error.to_string()))?;
        let table = Gpt::read(&start).map_err(|error| no_image(error.to_string()))?;
        let one = |kind, what: &str| {
            let mut found = table.partitions.iter().filter(|partition| partition.kind == kind);
            found.next().ok_or_else(|| no_image(format!("it has no {what}")))
        };
        let esp = one(types::ESP, "EFI system partition")?;
        let root = one(types::ROOT, "root partition")?;
        one(types::ROOT_VERITY_SIG, "signature of its root partition")?;
        if let Some(beyond) = table.partitions.iter().find(|p| p.offset() + p.size() > size) {
            return Err(no_image(format!("it is cut short within partition {}", beyond.number)));
        }
        if let Some(early) = table.partitions.iter().find(|p| p.offset() < HEAD) {
            return Err(no_image(format!("partition {} begins too early", early.number)));
        }
        let (esp, release) = (esp.offset()..esp.offset() + esp.size(), root.label.clone());
        Ok(Self { file, size, esp, release })
    }

    /// Bytes that a disk must have.
    pub const fn needs(&self) -> u64 {
        self.size + STATE_VOLUME
    }
}
