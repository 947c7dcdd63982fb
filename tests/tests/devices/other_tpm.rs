//! A disk that was taken out of its device.

use anyhow::{Result, ensure};
use holdfast_qemu::{Device, PowerOn};

use crate::first_boot::{self, SERIAL};
use crate::support::console::{wait_closed, wait_for_any, word};
use crate::support::foreign_volume::LABEL;
use crate::support::report::Report;
use crate::support::trial::{Outcome, trial};

/// The LUKS headers with the sealed key, and the beginning of the data.
const WATCHED: usize = 32 << 20;

#[test]
fn the_same_disk_with_another_tpm_neither_unlocks_nor_enrols() -> Outcome {
    trial("the_same_disk_with_another_tpm_neither_unlocks_nor_enrols", |trial| {
        let first = first_boot::stage(&trial.workshop)?;
        let bench = first.bench(trial)?;
        let mut device = first.device(&bench, &trial.folder)?;
        let own_ek = device.ek()?.ek_sha256;
        device.replace_tpm_by_fresh()?;
        let other_ek = device.ek()?.ek_sha256;
        ensure!(own_ek != other_ek);
        let known = bench.cloud().show(SERIAL)?;
        let volume = start_of_volume(&device)?;

        let running = device.power_on(PowerOn::default())?;
        wait_closed(&running, "var-does-not-open")?;
        Report::wait_closed(&running)?.ensure_names("var-verdict", "var-does-not-open")?;
        let (_, who) = wait_for_any(&running, &["holdfast: closed edge_id="])?;
        ensure!(word(&who, "edge_id")? == SERIAL && word(&who, "ek_sha256")? == other_ek, "{who}");
        wait_for_any(&running, &["restarting in 30 seconds", "the device stays closed"])?;
        let (device, _) = running.switch_off()?;
        ensure!(start_of_volume(&device)? == volume, "the state volume was changed");
        ensure!(bench.cloud().show(SERIAL)? == known, "the cloud's record changed");
        Ok(())
    })
}

fn start_of_volume(device: &Device) -> Result<Vec<u8>> {
    let offset = device.disk().partition(LABEL)?.offset;
    Ok(device.disk().read(offset, WATCHED)?)
}
