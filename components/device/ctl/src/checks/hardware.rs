//! The board has what Holdfast needs of it (docs/hardware.md).

use holdfast_attestation::machine_id::{MachineId, MachineIdError};

use super::{Context, Finding};

/// Below this the first boot, which makes the keys and the state volume, may run out of memory.
const LEAST_MEMORY_KIB: u64 = 400 << 10;

const WATCHDOG: &str = "sys/class/watchdog/watchdog0/identity";
/// What the kernel calls the watchdog that hangs with the kernel it should restart.
const SOFTWARE_WATCHDOG: &str = "Software Watchdog";

/// Made of the system UUID of the firmware (`systemd.machine_id=firmware`).
const MACHINE_ID: &str = "etc/machine-id";

pub(super) fn run(context: &Context) -> Finding {
    let lacking = lacking(context);
    if !lacking.is_empty() {
        return Finding::failed(
            format!("the board lacks {}", lacking.join(", ")),
            "Turn it on in the firmware setup, or use a board that has it: docs/hardware.md.",
        );
    }
    let weak = weak(context);
    if !weak.is_empty() {
        return Finding::warning(
            format!("the board has {}", weak.join(", ")),
            "The device works, but may not come back by itself from a hang or a power cut: \
             docs/hardware.md.",
        );
    }
    Finding::ok("UEFI, a TPM 2.0, a watchdog, a clock and enough memory are there.")
}

/// Without these a device is not secure.
fn lacking(context: &Context) -> Vec<&'static str> {
    let mut lacking = Vec::new();
    if !context.exists("sys/firmware/efi") {
        lacking.push("a start by UEFI");
    }
    let version = context.read("sys/class/tpm/tpm0/tpm_version_major").unwrap_or_default();
    if version.trim() != "2" {
        lacking.push("a TPM 2.0");
    }
    let machine_id = context.read(MACHINE_ID).unwrap_or_default();
    if matches!(machine_id.parse::<MachineId>(), Err(MachineIdError::Placeholder(_))) {
        lacking.push("a system UUID of its own");
    }
    lacking
}

/// Without these a device is not robust.
fn weak(context: &Context) -> Vec<&'static str> {
    let mut weak = Vec::new();
    match context.read(WATCHDOG) {
        Ok(identity) if identity.trim() == SOFTWARE_WATCHDOG => {
            weak.push("no watchdog but the kernel's own");
        }
        Ok(_) => {}
        Err(_) => weak.push("no watchdog"),
    }
    if !context.exists("sys/class/rtc/rtc0") {
        weak.push("no clock that runs without power");
    }
    let memory = context.read("proc/meminfo").ok().and_then(|text| total_kib(&text));
    if memory.is_none_or(|memory| memory < LEAST_MEMORY_KIB) {
        weak.push("less than 400 MiB of memory");
    }
    weak
}

/// The total that the kernel manages (`/proc/meminfo`).
fn total_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome::*, fixture::Fixture};
    use super::*;

    fn board(without: &str) -> Fixture {
        let parts = [
            ("sys/firmware/efi/fw_platform_size", "64\n"),
            ("sys/class/tpm/tpm0/tpm_version_major", "2\n"),
            (WATCHDOG, "i6300ESB timer\n"),
            ("sys/class/rtc/rtc0/name", "rtc_cmos\n"),
            (MACHINE_ID, "7d1c9a3f52b84c0e9a60b1f3d2e4c586\n"),
            ("proc/meminfo", "MemTotal:        1000000 kB\nMemFree: 1 kB\n"),
        ];
        parts
            .into_iter()
            .filter(|(path, _)| without.is_empty() || !path.contains(without))
            .fold(Fixture::new(), |fixture, (path, content)| fixture.file(path, content))
    }

    #[test]
    fn table() {
        let table = [
            ("", Ok, "TPM 2.0"),
            ("efi", Failed, "UEFI"),
            ("tpm", Failed, "a TPM 2.0"),
            ("watchdog", Warning, "no watchdog"),
            ("rtc", Warning, "no clock"),
            ("meminfo", Warning, "memory"),
        ];
        for (without, outcome, part) in table {
            board(without).expect(run, outcome, part);
        }
        let table = [
            ("sys/class/tpm/tpm0/tpm_version_major", "1\n", Failed, "a TPM 2.0"),
            (MACHINE_ID, "03000200040005000006000700080009\n", Failed, "a system UUID of its own"),
            (WATCHDOG, "Software Watchdog\n", Warning, "but the kernel's own"),
            ("proc/meminfo", "MemTotal: 300000 kB\n", Warning, "400 MiB"),
            ("proc/meminfo", "MemTotal: much\n", Warning, "400 MiB"),
        ];
        for (path, content, outcome, part) in table {
            board("").file(path, content).expect(run, outcome, part);
        }
    }
}
