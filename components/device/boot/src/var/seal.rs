//! To what the state volume is sealed.

use std::ffi::OsString;

use holdfast_attestation::pcr::{COMMAND_LINE_PCR, KERNEL_PCR, SECURE_BOOT_PCR};

use crate::places::Places;

/// The options of systemd-repart and systemd-cryptenroll: this TPM, PCR 7 as it is, a signed
/// PCR 11, and PCR 12 as the value it must have, not as the one it has.
pub fn options(places: &Places) -> Vec<OsString> {
    let registers = format!("{SECURE_BOOT_PCR}+{COMMAND_LINE_PCR}:sha256={}", "0".repeat(64));
    let mut key = OsString::from("--tpm2-public-key=");
    key.push(places.at("usr/lib/holdfast/keys/pcr.pub"));
    vec![
        format!("--tpm2-device={}", places.tpm_for_systemd()).into(),
        format!("--tpm2-pcrs={registers}").into(),
        key,
        format!("--tpm2-public-key-pcrs={KERNEL_PCR}").into(),
    ]
}
