//! The opened LUKS volume, a device-mapper device.

use std::{
    fs,
    path::{Path, PathBuf},
};

use holdfast_disk::Guid;

use crate::{places::Places, program};

const TOOL: &str = "/usr/lib/systemd/systemd-cryptsetup";
const NAME: &str = "var";

/// An opened volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Its device file.
    pub device: PathBuf,
    /// UUID of the LUKS volume that the kernel says it is.
    pub luks_uuid: String,
}

/// Opens the volume on a partition with the TPM alone; asks nobody.
pub fn open(places: &Places, partition: &Path) -> Result<Mapping, String> {
    let options = format!("tpm2-device={},headless=true,discard", places.tpm_for_systemd());
    let words = ["attach".as_ref(), NAME.as_ref(), partition.as_os_str(), "-".as_ref()];
    let words = words.into_iter().chain(std::iter::once(options.as_ref()));
    program::run(TOOL, words, &[0]).map_err(|error| error.to_string())?;
    find(places).ok_or_else(|| "it was opened, and the kernel shows no device for it".to_owned())
}

/// Opens the volume on a partition with a key of a person.
pub fn open_with_key(places: &Places, partition: &Path, key: &Path) -> Result<Mapping, String> {
    let words = ["attach".as_ref(), NAME.as_ref(), partition.as_os_str(), key.as_os_str()];
    let words = words.into_iter().chain(std::iter::once("headless=true,discard".as_ref()));
    program::run(TOOL, words, &[0]).map_err(|error| error.to_string())?;
    find(places).ok_or_else(|| "it was opened, and the kernel shows no device for it".to_owned())
}

/// Closes the volume if it is open.
pub fn close(places: &Places) -> Result<(), String> {
    if kernel_name(places).is_none() {
        return Ok(());
    }
    program::run(TOOL, ["detach", NAME], &[0]).map(drop).map_err(|error| error.to_string())
}

fn find(places: &Places) -> Option<Mapping> {
    let kernel_name = kernel_name(places)?;
    let uuid =
        fs::read_to_string(places.at("sys/block").join(&kernel_name).join("dm/uuid")).ok()?;
    let by_name = places.at("dev/mapper").join(NAME);
    let device = if by_name.exists() { by_name } else { places.at("dev").join(kernel_name) };
    Some(Mapping { device, luks_uuid: luks_uuid(&uuid)? })
}

fn kernel_name(places: &Places) -> Option<String> {
    fs::read_dir(places.at("sys/block"))
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| {
            fs::read_to_string(places.at("sys/block").join(name).join("dm/name"))
                .is_ok_and(|text| text.trim() == NAME)
        })
}

/// The kernel's `CRYPT-LUKS2-<32 digits>-var` as a UUID.
fn luks_uuid(text: &str) -> Option<String> {
    let digits = text.trim().strip_prefix("CRYPT-LUKS2-")?.strip_suffix("-var")?;
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Some(Guid::from_u128(u128::from_str_radix(digits, 16).ok()?).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(root: &Path, name: &str, dm_name: &str, uuid: &str) {
        let folder = root.join("sys/block").join(name).join("dm");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("name"), format!("{dm_name}\n")).unwrap();
        fs::write(folder.join("uuid"), format!("{uuid}\n")).unwrap();
    }

    #[test]
    fn the_mapping_is_found_by_its_name_in_the_kernel() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::from_options(&[format!("--root={}", root.path().display())]).unwrap();
        assert_eq!(find(&places), None);
        device(root.path(), "dm-0", "root", "CRYPT-VERITY-00-root");
        assert_eq!(find(&places), None);
        assert_eq!(close(&places), Ok(()));
        device(root.path(), "dm-3", "var", "CRYPT-LUKS2-6b1e2a341f7c4f2a9a550d7c3a2b1c0d-var");
        let found = find(&places).unwrap();
        assert_eq!(found.luks_uuid, "6b1e2a34-1f7c-4f2a-9a55-0d7c3a2b1c0d");
        assert_eq!(found.device, root.path().join("dev/dm-3"));
        let named = root.path().join("dev/mapper/var");
        fs::create_dir_all(named.parent().unwrap()).unwrap();
        fs::write(&named, "").unwrap();
        assert_eq!(find(&places).unwrap().device, named);
    }

    #[test]
    fn only_a_luks2_volume_has_a_uuid() {
        for bad in [
            "CRYPT-PLAIN-var",
            "CRYPT-LUKS2-6b1e-var",
            "CRYPT-LUKS2-6b1e2a341f7c4f2a9a550d7c3a2b1c0x-var",
            "CRYPT-LUKS2-6b1e2a341f7c4f2a9a550d7c3a2b1c0d-root",
            "CRYPT-LUKS1-6b1e2a341f7c4f2a9a550d7c3a2b1c0d-var",
        ] {
            assert_eq!(luks_uuid(bad), None, "{bad}");
        }
    }
}
