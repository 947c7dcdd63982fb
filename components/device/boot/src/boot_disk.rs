//! The disk under the root file system. No other disk is looked at, so that a second disk with the
//! same labels is never used.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use holdfast_disk::{Gpt, Guid, Partition, types};

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
    /// More or less than one partition where there must be one.
    #[error("/dev/{disk} has {count} EFI system partitions, expected one")]
    Esp {
        /// Kernel name.
        disk: String,
        /// How many.
        count: usize,
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

    /// The device file of the EFI system partition.
    pub fn esp(&self) -> Result<PathBuf, BootDiskError> {
        match self.partitions(types::ESP)?.as_slice() {
            [esp] => self.partition_device(esp.number),
            found => Err(BootDiskError::Esp { disk: self.name.clone(), count: found.len() }),
        }
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

#[cfg(test)]
mod tests {
    use holdfast_disk::types;
    use tempfile::TempDir;

    use super::*;

    const VERITY: &str = "CRYPT-VERITY-5e15dc9852a317b93f133b1aec3fe2f9-root\n";

    struct Machine(TempDir);

    impl Machine {
        /// The root on `vda2` and `vda3`, and a second disk with the same partitions.
        fn new() -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            machine.file("sys/block/dm-0/dm/uuid", VERITY);
            for slave in ["vda2", "vda3"] {
                machine.file(&format!("sys/block/dm-0/slaves/{slave}/partition"), "");
            }
            for disk in ["vda", "vdb"] {
                for number in 1..=4 {
                    machine.file(
                        &format!("sys/block/{disk}/{disk}{number}/partition"),
                        format!("{number}\n"),
                    );
                    machine.file(&format!("dev/{disk}{number}"), "");
                }
            }
            machine
        }

        fn file(&self, path: &str, content: impl AsRef<[u8]>) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn table(&self, disk: &str, kinds: &[Guid]) {
            let partition = |(number, &kind)| Partition {
                number,
                kind,
                uuid: Guid::from_u128(u128::from(number)),
                first: u64::from(number) * 100,
                last: u64::from(number) * 100 + 99,
                attributes: 0,
                label: "holdfast_var".into(),
            };
            let partitions = (1..).zip(kinds).map(partition).collect();
            let table = Gpt { disk: Guid::from_u128(9), partitions };
            self.file(&format!("dev/{disk}"), table.write(8192).unwrap().0);
        }

        fn find(&self) -> Result<BootDisk, BootDiskError> {
            let root = format!("--root={}", self.0.path().display());
            BootDisk::find(&Places::from_options(&[root]).unwrap())
        }
    }

    #[test]
    fn only_the_disk_under_the_root_file_system_is_looked_at() {
        let machine = Machine::new();
        machine.table("vda", &[types::ESP, types::ROOT, types::ROOT_VERITY]);
        machine.table("vdb", &[types::ESP, types::VAR, types::VAR]);
        let disk = machine.find().unwrap();
        assert_eq!(disk.device(), machine.0.path().join("dev/vda"));
        assert_eq!(disk.partitions(types::VAR).unwrap(), []);
        machine.table("vda", &[types::ESP, types::ROOT, types::VAR, types::VAR]);
        let numbers: Vec<u32> =
            disk.partitions(types::VAR).unwrap().iter().map(|p| p.number).collect();
        assert_eq!(numbers, [3, 4]);
        assert_eq!(disk.partition_device(4).unwrap(), machine.0.path().join("dev/vda4"));
    }

    #[test]
    fn a_root_that_is_not_verified_or_on_two_disks_names_no_disk() {
        let machine = Machine::new();
        machine.file("sys/block/dm-0/dm/uuid", "CRYPT-LUKS2-00-var\n");
        assert!(machine.find().unwrap_err().to_string().contains("CRYPT-LUKS2"));

        let machine = Machine::new();
        machine.file("sys/block/dm-0/slaves/vdb2/partition", "");
        assert!(machine.find().unwrap_err().to_string().contains("expected one"));

        let machine = Machine::new();
        machine.file("sys/block/dm-0/slaves/sda1/partition", "");
        assert!(machine.find().unwrap_err().to_string().contains("expected one"));
    }

    #[test]
    fn a_damaged_table_is_named() {
        let machine = Machine::new();
        machine.table("vda", &[types::VAR]);
        let mut bytes = fs::read(machine.0.path().join("dev/vda")).unwrap();
        bytes[1030] ^= 1;
        machine.file("dev/vda", &bytes);
        let disk = machine.find().unwrap();
        let error = disk.partitions(types::VAR).unwrap_err().to_string();
        assert!(error.contains("/dev/vda: checksum"), "{error}");
        machine.file("dev/vda", "");
        assert!(disk.partitions(types::VAR).unwrap_err().to_string().contains("cannot read"));
    }
}
