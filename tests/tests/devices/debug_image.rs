//! A genuine TPM that booted a system which the operator did not publish.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_qemu::{PowerOn, Running};
use holdfast_tests::{Bench, Ports};
use serde_json::Value;

use crate::support::cloud::{event_of_request, list, text};
use crate::support::console::{wait_active, wait_for, wait_refused, wait_shown, wait_within};
use crate::support::stage::DEVICE;
use crate::support::trial::trial;

const SERIAL: &str = "HF-E2E-0003";

#[test]
fn a_genuine_tpm_with_the_debug_image_is_not_enrolled_until_it_is_published() -> Result<()> {
    trial("a_genuine_tpm_with_the_debug_image_is_not_enrolled_until_it_is_published", |trial| {
        let bench = Bench::fresh(&trial.workshop, &trial.folder, Ports::any()?)?;
        bench.publish("release")?;
        let cloud = bench.cloud();
        let device = bench.make_device(DEVICE, "debug", SERIAL)?;
        bench.register(&device)?;
        let running = device.power_on(PowerOn::default())?;
        let refused = wait_refused(&running, "release-unknown")?;
        let event = event_of_request(cloud, &refused.request_id)?;
        ensure!(event["code"] == "release-unknown" && event["edge_id"] == SERIAL, "{event}");
        ensure!(text(&event, "detail")?.contains("check 9"), "{event}");
        let events = cloud.text(&["events", "--device", SERIAL])?;
        ensure!(events.contains("release-unknown"), "the operator sees why: {events}");
        let shown = cloud.show(SERIAL)?;
        ensure!(text(&shown, "state")? == "registered", "{shown}");
        ensure!(list(&shown, "certificates")?.is_empty(), "{shown}");

        // The debug image has a shell: the device itself names the fault.
        wait_shown(&running, "State        refused")?;
        let report = check(&running)?;
        let failed = outcome_of(&report, "enrolment")?;
        ensure!(failed["outcome"] == "failed", "{report}");
        ensure!(text(failed, "text")?.contains("release-unknown"), "{report}");

        bench.publish("debug")?;
        wait_within(&running, "holdfast: enrolled ", Duration::from_secs(600))?;
        wait_active(&running)?;
        wait_shown(&running, "State        active")?;
        let report = check(&running)?;
        ensure!(report["failed"] == 0 && report["warning"] == 0, "{report:#}");
        Ok(())
    })
}

/// What `holdfast check` says on the device.
fn check(running: &Running) -> Result<Value> {
    // What else is printed may fall into the middle of the answer.
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        running.console().send_line("systemctl is-system-running --wait; holdfast --json check")?;
        let line = wait_for(running, "{\"checks\":")?;
        let start = line.find("{\"checks\":").unwrap_or_default();
        if let Ok(report) = serde_json::from_str(&line[start..]) {
            return Ok(report);
        }
    }
    anyhow::bail!("`holdfast --json check` printed no JSON in {TRIES} tries")
}

fn outcome_of<'a>(report: &'a Value, id: &str) -> Result<&'a Value> {
    let found = list(report, "checks")?.iter().find(|check| check["id"] == id);
    found.with_context(|| format!("no check {id} in {report}"))
}
