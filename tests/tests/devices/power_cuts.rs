//! Power cuts in the middle of the first boot.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use holdfast_qemu::{CutMoment, Device, PowerCutPlan, PowerCutReport, PowerOn, Rng, Running};
use holdfast_tests::{Bench, Ports};

use crate::first_boot;
use crate::support::cloud::{column, devices, list, text};
use crate::support::console::{BOOT, wait_active};
use crate::support::stage::DEVICE;
use crate::support::trial::{Outcome, trial};

const SERIAL: &str = "HF-E2E-0004";
const CUTS: u32 = 4;

#[test]
fn four_power_cuts_at_random_points_of_the_first_boot_end_in_one_identity() -> Outcome {
    trial("four_power_cuts_at_random_points_of_the_first_boot_end_in_one_identity", |trial| {
        // How much a first boot writes until its root is verified, and until it is active.
        let first = first_boot::stage(&trial.workshop)?;
        let range = first.number("writes_at_root")?..first.number("writes_at_active")?;
        ensure!(range.start < range.end, "a first boot makes no writes: {range:?}");

        let bench = Bench::fresh(&trial.workshop, &trial.folder, Ports::any()?)?;
        bench.publish("release")?;
        let mut device = bench.make_device(DEVICE, "release", SERIAL)?;
        bench.register(&device)?;
        let mut seeds = Rng::new(PowerCutPlan::seed()?);
        println!("a first boot is active after {} writes", range.end);
        for _ in 0..CUTS {
            // The plan's own text names the seed with which `HOLDFAST_POWER_SEED` repeats it.
            let plan = PowerCutPlan::within_writes(range.clone(), seeds.next());
            println!("{plan}");
            let report;
            (device, report) = boot_and_cut(device, &plan)?;
            println!("{report}");
        }
        let running = device.power_on(PowerOn::default())?;
        let active = wait_active(&running)?;

        let known = devices(bench.cloud())?;
        ensure!(known.len() == 1, "the cloud knows {} devices: {known:?}", known.len());
        let shown = bench.cloud().show(SERIAL)?;
        ensure!(text(&shown, "state")? == "active", "{shown}");
        ensure!(text(&shown, "id")? == active.device_id, "{shown}");
        let keys: BTreeSet<String> = list(&shown, "certificates")?
            .iter()
            .map(|certificate| certificate["spki_sha256"].to_string())
            .collect();
        ensure!(keys.len() == 1, "certificates were issued for {} keys: {shown}", keys.len());
        let data = bench.cloud().data().to_owned();
        let attestation_keys: BTreeSet<String> =
            column(&data, "select ak_public from enrolments")?.into_iter().collect();
        ensure!(
            attestation_keys.len() == 1,
            "{} attestation keys enrolled",
            attestation_keys.len()
        );
        Ok(())
    })
}

/// Boots until the plan's number of writes is made, and cuts the power. After an earlier cut less
/// may be left to write: then the moment is when the device becomes active.
fn boot_and_cut(device: Device, plan: &PowerCutPlan) -> Result<(Device, PowerCutReport)> {
    let CutMoment::Writes(writes) = plan.moment() else { bail!("the plan counts writes") };
    let running = device.power_on(PowerOn::default())?;
    let begun = Instant::now();
    while running.usage().disk.writes < writes && !is_active(&running) {
        ensure!(begun.elapsed() < BOOT, "neither active nor {writes} writes after {BOOT:?}");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(running.power_cut(&mut plan.rng())?)
}

fn is_active(running: &Running) -> bool {
    running.console().find("holdfast: active ").is_some()
}
