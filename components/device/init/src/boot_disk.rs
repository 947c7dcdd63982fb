//! The disk that the firmware booted from. No other disk is looked at, so that a second disk with
//! the same labels is never used.

use std::{
    fs::{self, File},
    io::Read,
    thread,
    time::{Duration, Instant},
};

use holdfast_disk::{Gpt, Guid, types};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::{
    error::{InitError, at},
    modules::Modules,
};

const PATIENCE: Duration = Duration::from_secs(60);
const LOADER_DEVICE: &str =
    "/sys/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// A disk and its partition table.
pub struct BootDisk {
    /// Kernel name, such as `vda`.
    pub name: String,
    /// Its partitions.
    pub table: Gpt,
}

impl BootDisk {
    /// The device file of a partition.
    pub fn partition(&self, number: u32) -> String {
        let separator = if self.name.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
        format!("/dev/{}{separator}{number}", self.name)
    }
}

/// Loads drivers until the disk with the boot loader's ESP is there.
pub fn find(modules: &mut Modules) -> Result<BootDisk, InitError> {
    let esp = loader_partition()?;
    let start = Instant::now();
    loop {
        for name in disk_names() {
            if let Some(table) = table_of(&name).filter(|t| holds(t, esp)) {
                return Ok(BootDisk { name, table });
            }
        }
        if modules.load_next_driver() {
            continue;
        }
        if start.elapsed() > PATIENCE {
            return Err(InitError::BootDisk(format!(
                "no disk with the EFI system partition {esp} appeared within {} seconds",
                PATIENCE.as_secs()
            )));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn holds(table: &Gpt, esp: Guid) -> bool {
    table.partitions.iter().any(|p| p.kind == types::ESP && p.uuid == esp)
}

fn disk_names() -> Vec<String> {
    fs::read_dir("/sys/block")
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|n| !["ram", "loop", "dm-", "zram", "sr"].iter().any(|p| n.starts_with(p)))
        .collect()
}

fn table_of(name: &str) -> Option<Gpt> {
    let mut start = vec![0; Gpt::READ_SIZE];
    File::open(format!("/dev/{name}")).ok()?.read_exact(&mut start).ok()?;
    Gpt::read(&start).ok()
}

/// The UUID of the partition that the boot loader came from, which systemd-boot and the stub leave
/// in an EFI variable (systemd Boot Loader Interface).
fn loader_partition() -> Result<Guid, InitError> {
    let place = "/sys/firmware/efi/efivars";
    at(
        format!("mount efivarfs on {place}"),
        mount("efivarfs", place, "efivarfs", MountFlags::RDONLY, c"").map_err(Into::into),
    )?;
    let raw = at(format!("read {LOADER_DEVICE}"), fs::read(LOADER_DEVICE));
    let _ = unmount(place, UnmountFlags::DETACH);
    parse_loader_partition(&raw?)
        .ok_or_else(|| InitError::BootDisk("the boot loader named no partition".into()))
}

/// Four bytes of attributes, then UTF-16 text.
fn parse_loader_partition(raw: &[u8]) -> Option<Guid> {
    let units: Vec<u16> = raw
        .get(4..)?
        .chunks_exact(2)
        .map(|c| u16::from_le_bytes([c[0], c[1]]))
        .take_while(|&u| u != 0)
        .collect();
    String::from_utf16(&units).ok()?.to_lowercase().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_loader_variable() {
        let text = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B\0";
        let mut raw = vec![6, 0, 0, 0];
        raw.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(parse_loader_partition(&raw), Some(types::ESP));
        assert_eq!(parse_loader_partition(&raw[..40]), None);
        assert_eq!(parse_loader_partition(&[]), None);
    }

    #[test]
    fn partition_names_follow_the_kernel() {
        let table = Gpt { disk: Guid::NIL, partitions: vec![] };
        let disk = |name: &str| BootDisk { name: name.into(), table: table.clone() };
        assert_eq!(disk("vda").partition(2), "/dev/vda2");
        assert_eq!(disk("nvme0n1").partition(2), "/dev/nvme0n1p2");
        assert_eq!(disk("mmcblk0").partition(2), "/dev/mmcblk0p2");
    }
}
