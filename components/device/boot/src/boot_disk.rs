//! The disk under the root file system. No other disk is looked at, so that a second disk with the
//! same labels is never used.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use holdfast_disk::{Gpt, Guid, Partition};

use crate::{
    files::{FileError, read_text},
    places::Places,
};

/// Time for the kernel to show a new partition.
const PATIENCE: Duration = Duration::from_secs(10);
/// The initrd opens the root file system as the first device-mapper device.
const ROOT: &str = "sys/block/dm-0";

/// The disk under the root file system.
#[derive(Debug)]
pub struct BootDisk {
    name: String,
    block: PathBuf,
    dev: PathBuf,
}

/// Why there is no boot disk.
#[derive(Debug, thiserror::Error)]
pub enum BootDiskError {
    /// A file of sysfs or the disk cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The root file system is not what the initrd opens.
    #[error("/sys/block/dm-0 is not the verified root file system: {0}")]
    Root(String),
    /// The partition table is damaged.
    #[error("/dev/{disk}: {source}; write the image anew or restore the table with sgdisk")]
    Table {
        /// Kernel name.
        disk: String,
        /// What is wrong.
        source: holdfast_disk::GptError,
    },
    /// The kernel does not know a partition of the table.
    #[error("the kernel shows no partition {number} on /dev/{disk}; restart the device")]
    Partition {
        /// Kernel name.
        disk: String,
        /// Number in the table.
        number: u32,
    },
}

impl BootDisk {
    /// Finds the disk that all partitions below the root's verity device are on.
    pub fn find(places: &Places) -> Result<Self, BootDiskError> {
        let uuid = read_text(&places.at(ROOT).join("dm/uuid"))?;
        if !uuid.starts_with("CRYPT-VERITY-") {
            return Err(BootDiskError::Root(format!(
                "its device-mapper UUID is {:?}",
                uuid.trim()
            )));
        }
        let slaves = names(&places.at(ROOT).join("slaves"))?;
        let block = places.at("sys/block");
        let disks = names(&block)?;
        let disk_of = |slave: &String| {
            disks.iter().find(|disk| block.join(disk).join(slave).join("partition").exists())
        };
        let mut found: Vec<Option<&String>> = slaves.iter().map(disk_of).collect();
        found.dedup();
        match found.as_slice() {
            [Some(name)] => {
                Ok(Self { name: (*name).clone(), block: block.join(name), dev: places.at("dev") })
            }
            _ => Err(BootDiskError::Root(format!(
                "its partitions {slaves:?} are on the disks {found:?}, expected one"
            ))),
        }
    }

    /// Its device file.
    pub fn device(&self) -> PathBuf {
        self.dev.join(&self.name)
    }

    /// The partitions of a type, by number.
    pub fn partitions(&self, kind: Guid) -> Result<Vec<Partition>, BootDiskError> {
        let path = self.device();
        let mut start = vec![0; Gpt::READ_SIZE];
        File::open(&path)
            .and_then(|mut disk| disk.read_exact(&mut start))
            .map_err(FileError::at(format!("cannot read {}", path.display())))?;
        let table = Gpt::read(&start)
            .map_err(|source| BootDiskError::Table { disk: self.name.clone(), source })?;
        Ok(table.partitions.into_iter().filter(|p| p.kind == kind).collect())
    }

    /// The device file of a partition, once the kernel shows it.
    pub fn partition_device(&self, number: u32) -> Result<PathBuf, BootDiskError> {
        let start = Instant::now();
        loop {
            let node = self.partition_name(number)?.map(|name| self.dev.join(name));
            if let Some(node) = node.filter(|node| node.exists()) {
                return Ok(node);
            }
            if start.elapsed() > PATIENCE {
                return Err(BootDiskError::Partition { disk: self.name.clone(), number });
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn partition_name(&self, number: u32) -> Result<Option<String>, BootDiskError> {
        let is_it = |name: &String| {
            fs::read_to_string(self.block.join(name).join("partition"))
                .is_ok_and(|text| text.trim().parse() == Ok(number))
        };
        Ok(names(&self.block)?.into_iter().find(is_it))
    }
}

fn names(folder: &Path) -> Result<Vec<String>, FileError> {
    let entries =
        fs::read_dir(folder).map_err(FileError::at(format!("cannot list {}", folder.display())))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}
