//! State volumes that the device did not make.

use anyhow::{Result, ensure};
use holdfast_qemu::{Device, Disk, PowerOn};

use crate::first_boot::{self, SERIAL};
use crate::support::cloud::text;
use crate::support::console::wait_closed;
use crate::support::foreign_volume::{Pretence, luks_for_tpm_of, plain_ext4, put_in_place};
use crate::support::report::Report;
use crate::support::trial::{Outcome, Trial, trial};

#[test]
fn a_luks_volume_made_for_this_tpm_is_not_used() -> Outcome {
    trial("a_luks_volume_made_for_this_tpm_is_not_used", |trial| {
        // This reason, and not that it does not open: the TPM did release its key.
        expect_foreign(trial, "its marker was not made by this TPM", |trial, device, pcr7| {
            let folder = trial.folder.join("foreign");
            luks_for_tpm_of(&trial.workshop, device, pcr7, Pretence::Marker, &folder)
        })
    })
}

#[test]
#[ignore = "one of the long matrices: the test before without a marker"]
fn a_luks_volume_without_a_marker_is_not_used() -> Outcome {
    trial("a_luks_volume_without_a_marker_is_not_used", |trial| {
        expect_foreign(trial, "it has no marker", |trial, device, pcr7| {
            let folder = trial.folder.join("foreign");
            luks_for_tpm_of(&trial.workshop, device, pcr7, Pretence::None, &folder)
        })
    })
}

#[test]
#[ignore = "one of the long matrices: the second boot has such a file system on another disk"]
fn a_plain_file_system_with_the_label_of_the_state_volume_is_not_used() -> Outcome {
    trial("a_plain_file_system_with_the_label_of_the_state_volume_is_not_used", |trial| {
        expect_foreign(trial, "it is not a LUKS2 volume", |trial, _, _| {
            plain_ext4(&trial.folder.join("foreign"))
        })
    })
}

/// Boots the enrolled device with a foreign volume in the place of its own.
fn expect_foreign(
    trial: &Trial,
    why: &str,
    make: impl FnOnce(&Trial, &Device, &str) -> Result<Disk>,
) -> Result<()> {
    let first = first_boot::stage(&trial.workshop)?;
    let bench = first.bench(trial)?;
    let device = first.device(&bench, &trial.folder)?;
    let known = bench.cloud().show(SERIAL)?;
    let foreign = make(trial, &device, &text(&known, "pcr7")?)?;
    put_in_place(&device, &foreign)?;
    let running = device.power_on(PowerOn::default())?;
    let line = wait_closed(&running, "var-is-foreign")?;
    ensure!(line.contains(why), "{line}");
    Report::wait_closed(&running)?.ensure_names("var-verdict", "var-is-foreign")?;
    drop(running);
    ensure!(bench.cloud().show(SERIAL)? == known, "the cloud's record changed");
    Ok(())
}
