//! Changing the key slots of the state volume, by systemd-cryptenroll.

use std::{ffi::OsString, path::Path};

use holdfast_recovery::RecoveryKey;

use crate::{
    places::Places,
    program::{self, ProgramError},
    secret_file::SecretFile,
    var::seal,
};

const TOOL: &str = "/usr/bin/systemd-cryptenroll";

/// Adds a slot for a new recovery key, opening the volume by the TPM.
pub fn add(places: &Places, partition: &Path) -> Result<RecoveryKey, String> {
    let words = add_arguments(places, partition);
    let printed = program::run_for_secret(TOOL, words).map_err(|error| error.to_string())?;
    printed.trim().parse().map_err(|error| format!("systemd-cryptenroll printed: {error}"))
}

fn add_arguments(places: &Places, partition: &Path) -> Vec<OsString> {
    vec![
        "--recovery-key".into(),
        format!("--unlock-tpm2-device={}", places.tpm_for_systemd()).into(),
        partition.into(),
    ]
}

/// Empties a slot.
pub fn wipe(partition: &Path, slot: u32) -> Result<(), ProgramError> {
    let words = [OsString::from(format!("--wipe-slot={slot}")), partition.into()];
    program::run(TOOL, words, &[0]).map(drop)
}

/// Seals the volume to this boot. The slots of former boots are emptied once the new one is on the
/// disk: systemd-cryptenroll wipes after it has enrolled.
pub fn seal_again(places: &Places, partition: &Path, key: &RecoveryKey) -> Result<(), String> {
    let key = SecretFile::new(key.as_str())?;
    let words = seal_arguments(places, partition, &key.path());
    program::run(TOOL, words, &[0]).map(drop).map_err(|error| error.to_string())
}

fn seal_arguments(places: &Places, partition: &Path, key: &Path) -> Vec<OsString> {
    let mut key_file = OsString::from("--unlock-key-file=");
    key_file.push(key);
    let mut words = vec![key_file, "--wipe-slot=tpm2".into()];
    words.extend(seal::options(places));
    words.push(partition.into());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &[OsString]) -> String {
        words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_words_for_systemd_cryptenroll() {
        let places = Places::from_options(&[]).unwrap();
        let partition = Path::new("/dev/vda8");
        assert_eq!(
            text(&add_arguments(&places, partition)),
            "--recovery-key --unlock-tpm2-device=/dev/tpmrm0 /dev/vda8"
        );
        let sealed = text(&seal_arguments(&places, partition, Path::new("/proc/1/fd/3")));
        for part in [
            "--unlock-key-file=/proc/1/fd/3 --wipe-slot=tpm2 --tpm2-device=/dev/tpmrm0",
            &format!("--tpm2-pcrs=7+12:sha256={} ", "00".repeat(32)),
            "--tpm2-public-key=/usr/lib/holdfast/keys/pcr.pub --tpm2-public-key-pcrs=11 /dev/vda8",
        ] {
            assert!(sealed.contains(part), "{part}: {sealed}");
        }
    }
}
