//! Changes of what boots.

use anyhow::{Context, Result, ensure};
use holdfast_qemu::{Device, PowerOn, partition_types};

use crate::first_boot;
use crate::support::console::{ensure_absent, ensure_shown, wait_closed, wait_for_any};
use crate::support::report::Report;
use crate::support::tools::{inside_tree, run};
use crate::support::trial::{Outcome, Trial, trial};

/// What our programs print begins like this.
const OURS: &str = "holdfast: ";
/// In the superblock of the root file system: without dm-verity nothing would notice.
const VOLUME_NAME: u64 = 1024 + 64;

#[test]
fn a_flipped_byte_in_the_root_partition_does_not_boot() -> Outcome {
    trial("a_flipped_byte_in_the_root_partition_does_not_boot", |trial| {
        let first = first_boot::stage(&trial.workshop)?;
        let bench = first.bench(trial)?;
        let device = first.device(&bench, &trial.folder)?;
        let root = device.disk().gpt()?.by_type(partition_types::ROOT_X86_64).cloned();
        let root = root.context("the disk has no root partition")?;
        device.disk().flip_byte(root.offset + VOLUME_NAME)?;
        let running = device.power_on(PowerOn::default())?;
        let ends = ["holdfast-init: boot refused", "Kernel panic", OURS];
        let (which, line) = wait_for_any(&running, &ends)?;
        ensure!(which < 2, "the device started: {line}");
        let lines = running.console().lines();
        ensure_shown(&lines, "holdfast-init: root ")?;
        ensure_absent(&lines, OURS)?;
        Ok(())
    })
}

#[test]
#[ignore = "one of the long matrices: the next test has a UKI without any signature"]
fn a_uki_with_a_broken_signature_does_not_boot() -> Outcome {
    trial("a_uki_with_a_broken_signature_does_not_boot", |trial| {
        expect_no_start(trial, |device| {
            let esp = device.disk().esp()?;
            let uki = esp.only_kernel_image("EFI/Linux")?;
            let middle = esp.read(&uki)?.len() as u64 / 2;
            esp.flip_byte(&uki, middle)?;
            Ok(esp.close()?)
        })
    })
}

#[test]
fn an_unsigned_uki_does_not_boot() -> Outcome {
    trial("an_unsigned_uki_does_not_boot", |trial| {
        let folder = trial.folder.canonicalize()?;
        expect_no_start(trial, |device| {
            let esp = device.disk().esp()?;
            let name = esp.only_kernel_image("EFI/Linux")?;
            let file = folder.join("uki.efi");
            std::fs::write(&file, esp.read(&name)?)?;
            run(inside_tree("sbattach").arg("--remove").arg(&file))?;
            esp.write_from(&file, &name)?;
            Ok(esp.close()?)
        })
    })
}

/// Boots the enrolled device after a change to its UKI: the kernel must not start.
fn expect_no_start(trial: &Trial, change: impl FnOnce(&Device) -> Result<()>) -> Result<()> {
    let first = first_boot::stage(&trial.workshop)?;
    let bench = first.bench(trial)?;
    let device = first.device(&bench, &trial.folder)?;
    change(&device)?;
    let running = device.power_on(PowerOn::default())?;
    let ends =
        ["Access Denied", "Access denied", "Security Violation", "EFI stub:", "holdfast-init"];
    let (which, line) = wait_for_any(&running, &ends)?;
    ensure!(which < 3, "the kernel started: {line}");
    // The firmware goes on to what else could be booted, and finds nothing.
    wait_for_any(
        &running,
        &[
            "BdsDxe: No bootable option",
            "BdsDxe: failed to start",
            "UEFI Interactive Shell",
            "Boot Failed",
        ],
    )?;
    let lines = running.console().lines();
    for never in ["EFI stub:", "Linux version", "holdfast-init", OURS] {
        ensure_absent(&lines, never)?;
    }
    Ok(())
}

#[test]
fn a_command_line_added_through_smbios_keeps_the_state_volume_shut() -> Outcome {
    trial("a_command_line_added_through_smbios_keeps_the_state_volume_shut", |trial| {
        let first = first_boot::stage(&trial.workshop)?;
        let bench = first.bench(trial)?;
        let device = first.device(&bench, &trial.folder)?;
        let added = "io.systemd.stub.kernel-cmdline-extra=systemd.debug_shell=ttyS0";
        let options = PowerOn { smbios_strings: vec![added.to_owned()], ..PowerOn::default() };
        let running = device.power_on(options)?;
        wait_closed(&running, "command-line-added")?;
        let report = Report::wait_closed(&running)?;
        report.ensure_names("command-line", "systemd.debug_shell=ttyS0")?;
        report.ensure_names("var-verdict", "command-line-added")
    })
}
