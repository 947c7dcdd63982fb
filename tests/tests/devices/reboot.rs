//! The second boot: no cloud, no person, and an attacker who tries what he can without opening the
//! device.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use holdfast_qemu::{Disk, ExtraDisk, PowerOn};
use holdfast_tests::Workshop;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::first_boot::{self, SERIAL, leave};
use crate::support::cloud::{list, text};
use crate::support::console::{ensure_absent, ensure_shown, wait_active};
use crate::support::foreign_volume::{Pretence, luks_for_tpm_of, plain_ext4};
use crate::support::report::Report;
use crate::support::stage::Stage;
use crate::support::trial::{Outcome, trial};

/// What the unit that somebody adds would print.
const FOREIGN_UNIT_RAN: &str = "FOREIGN-UNIT-RAN";

/// The device of the first boot, started again while the cloud was away, until the cloud came back
/// and it was switched off. Its firmware told a credential with a unit, and two more disks had
/// a volume with the label of the state volume: one that this very TPM opens, and a plain ext4.
fn stage(workshop: &Workshop) -> Result<Stage> {
    Stage::get(workshop, "second", |folder| boot(workshop, folder))
}

fn boot(workshop: &Workshop, folder: &Path) -> Result<Value> {
    let first = first_boot::stage(workshop)?;
    let mut bench = first.bench_in(workshop, folder)?;
    let device = first.device(&bench, folder)?;
    let shown = bench.cloud().show(SERIAL)?;
    let pcr7 = text(&shown, "pcr7")?;
    let luks = folder.join("foreign-luks");
    let foreign = [
        ("luks", luks_for_tpm_of(workshop, &device, &pcr7, Pretence::Marker, &luks)?),
        ("ext4", plain_ext4(&folder.join("foreign-ext4"))?),
    ];
    let digest = |disk: &Disk| -> Result<_> { Ok(Sha256::digest(fs::read(disk.path())?)) };
    let digests = || foreign.iter().map(|(_, disk)| digest(disk)).collect::<Result<Vec<_>>>();
    let foreign_before = digests()?;
    bench.stop_cloud()?;

    let extra = |(id, disk): &(&str, Disk)| ExtraDisk {
        id: (*id).to_owned(),
        image: disk.path().to_owned(),
    };
    let options = PowerOn {
        smbios_strings: credentials(),
        extra_disks: foreign.iter().map(extra).collect(),
        ..PowerOn::default()
    };
    let running = device.power_on(options)?;
    let alone = wait_active(&running)?;
    bench.start_cloud()?;
    let confirmed = wait_active(&running)?;
    let transcript = running.console().transcript().display().to_string();
    let (_, usage) = leave(running)?;
    Ok(json!({
        "transcript": transcript,
        "device_id": alone.device_id,
        "offline": alone.offline,
        "confirmed_device_id": confirmed.device_id,
        "confirmed_offline": confirmed.offline,
        "foreign_disks_unchanged": digests()? == foreign_before,
        "elapsed_seconds": usage.elapsed.as_secs_f64(),
        "cpu_seconds": usage.cpu.total().as_secs_f64(),
        "cloud": bench.cloud().show(SERIAL)?,
    }))
}

/// A unit, and a drop-in of a target that every boot reaches to start it (systemd.system-credentials(7)).
fn credentials() -> Vec<String> {
    let unit = format!(
        "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\n\
         ExecStart=/bin/sh -c 'echo {FOREIGN_UNIT_RAN} >/dev/ttyS0'\n"
    );
    let drop_in = "[Unit]\nWants=foreign.service\n";
    [
        ("systemd.extra-unit.foreign.service", unit.as_str()),
        ("systemd.unit-dropin.sysinit.target", drop_in),
        ("systemd.unit-dropin.multi-user.target", drop_in),
    ]
    .map(|(name, text)| {
        format!("io.systemd.credential.binary:{name}={}", BASE64_STANDARD.encode(text))
    })
    .into()
}

#[test]
fn a_reboot_keeps_identity_and_is_active_offline_without_interaction() -> Outcome {
    trial("a_reboot_keeps_identity_and_is_active_offline_without_interaction", |trial| {
        let first = first_boot::stage(&trial.workshop)?;
        let second = stage(&trial.workshop)?;
        let lines = second.lines()?;
        ensure_shown(&lines, "holdfast: var opened")?;
        ensure_shown(&lines, "holdfast: site accepted tenant=demo")?;
        ensure_absent(&lines, "holdfast: enrolled ")?;
        Report::after(&lines, "active").context("no report of the checks")?.ensure_green()?;
        ensure!(second.seen()["offline"] == true, "{}", second.seen());
        ensure!(second.seen()["confirmed_offline"] == false, "{}", second.seen());
        let device_id = first.text("device_id")?;
        ensure!(second.text("device_id")? == device_id);
        ensure!(second.text("confirmed_device_id")? == device_id);

        let (before, after) = (&first.seen()["cloud"], &second.seen()["cloud"]);
        ensure!(text(after, "state")? == "active", "{after}");
        let keys = |shown: &Value| -> Result<Vec<Value>> {
            Ok(list(shown, "certificates")?.iter().map(|c| c["spki_sha256"].clone()).collect())
        };
        ensure!(keys(after)? == keys(before)?, "the key of the first boot is still the only one");
        ensure!(list(after, "enrolments")?.len() == 1, "{after}");
        Ok(())
    })
}

#[test]
fn a_unit_in_an_smbios_credential_has_no_effect() -> Outcome {
    trial("a_unit_in_an_smbios_credential_has_no_effect", |trial| {
        let second = stage(&trial.workshop)?;
        ensure_absent(&second.lines()?, FOREIGN_UNIT_RAN)
            .context("the boot of the device whose firmware told a credential with a unit")
    })
}

#[test]
fn a_second_disk_with_the_label_of_the_state_volume_is_not_used() -> Outcome {
    trial("a_second_disk_with_the_label_of_the_state_volume_is_not_used", |trial| {
        let second = stage(&trial.workshop)?;
        ensure_shown(&second.lines()?, "holdfast: var opened")?;
        ensure!(second.seen()["foreign_disks_unchanged"] == true, "another disk was written to");
        Ok(())
    })
}
