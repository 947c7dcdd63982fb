//! Making of the state partition: LUKS2, sealed to this TPM in a signed boot, with ext4 in it.

use std::{ffi::OsString, path::Path};

use super::seal;
use crate::{
    places::Places,
    program::{self, ProgramError},
};

const TOOL: &str = "/usr/bin/systemd-repart";

/// Whether a state partition that is there is deleted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Former {
    /// There is none.
    None,
    /// It goes.
    Delete,
}

/// Makes the partition on a disk. The partition table names it only once it is complete.
pub fn create(places: &Places, disk: &Path, former: Former) -> Result<(), ProgramError> {
    // The loop driver gives repart a device over the new partition's place on the disk; without it
    // the file system would be made in memory. Where it is built in, there is nothing to load.
    let _ = program::run("/usr/sbin/modprobe", ["loop"], &[0]);
    program::run(TOOL, arguments(places, disk, former), &[0]).map(drop)
}

fn arguments(places: &Places, disk: &Path, former: Former) -> Vec<OsString> {
    let option = |name: &str, value: &Path| {
        let mut word = OsString::from(format!("--{name}="));
        word.push(value);
        word
    };
    // The UUIDs are random, so that each volume is another.
    let mut words = vec![
        "--dry-run=no".into(),
        "--pretty=no".into(),
        "--no-pager".into(),
        "--seed=random".into(),
        format!("--factory-reset={}", if former == Former::Delete { "yes" } else { "no" }).into(),
        option("definitions", &places.at("usr/lib/holdfast/repart.d")),
    ];
    words.extend(seal::options(places));
    words.push(disk.into());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_volume_is_bound_to_secure_boot_kernel_and_an_empty_command_line() {
        let places = Places::from_options(&[]).unwrap();
        let words = |former| {
            let words = arguments(&places, Path::new("/dev/vda"), former);
            words.iter().map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        let text = words(Former::None);
        for part in [
            "--dry-run=no",
            "--factory-reset=no",
            &format!("--tpm2-pcrs=7+12:sha256={} ", "00".repeat(32)),
            "--tpm2-public-key=/usr/lib/holdfast/keys/pcr.pub",
            "--tpm2-public-key-pcrs=11 /dev/vda",
            "--tpm2-device=/dev/tpmrm0",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(words(Former::Delete).contains("--factory-reset=yes"));
    }
}
