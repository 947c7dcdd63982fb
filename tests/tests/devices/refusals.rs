//! Devices that the cloud does not want, and how they come back by themselves.

use std::time::Duration;

use anyhow::{Result, ensure};
use holdfast_qemu::{PowerOn, Running};
use holdfast_tests::{Bench, Client, Ports};
use uuid::{Uuid, uuid};

use crate::first_boot;
use crate::support::cloud::{devices, event_of_request, list, text};
use crate::support::console::{
    ensure_absent, parse_refused, wait_active, wait_for, wait_refused, wait_shown, wait_within,
    word,
};
use crate::support::report::Report;
use crate::support::stage::DEVICE;
use crate::support::trial::{Outcome, trial};

const SERIAL: &str = "HF-E2E-0002";

/// A refused device asks again at growing intervals.
const BACKOFF: Duration = Duration::from_secs(600);

#[test]
fn refusals_are_shown_and_recover_by_themselves() -> Outcome {
    trial("refusals_are_shown_and_recover_by_themselves", |trial| {
        let bench = Bench::fresh(&trial.workshop, &trial.folder, Ports::any()?)?;
        bench.publish("release")?;
        let cloud = bench.cloud();
        let device = bench.make_device(DEVICE, "release", SERIAL)?;
        let ek = device.ek()?.ek_sha256;
        let running = device.power_on(PowerOn::default())?;

        // Unregistered: the device hears nothing that would tell which Edge IDs exist.
        let refused = wait_refused(&running, "not-accepted")?;
        expect_event(cloud, &refused.request_id, "not-registered", "warning")?;
        Report::wait(&running, "refused")?.ensure_names("enrolment", "not-accepted")?;
        wait_shown(&running, "What to do ")?;

        // Registered, but with the TPM of another device.
        cloud.register(SERIAL, &"ab".repeat(32))?;
        let refused = next_refusal(&running, cloud, "not-accepted", "edge-id-bound-elsewhere")?;
        expect_event(cloud, &refused, "edge-id-bound-elsewhere", "alert")?;

        // The right TPM, registered under another Edge ID: it may know.
        cloud.change("retire", SERIAL)?;
        cloud.register("HF-E2E-OTHER", &ek)?;
        let refused = next_refusal(&running, cloud, "ek-bound-elsewhere", "ek-bound-elsewhere")?;
        expect_event(cloud, &refused, "ek-bound-elsewhere", "warning")?;
        cloud.change("retire", "HF-E2E-OTHER")?;

        // Suspended before it could enrol.
        cloud.register(SERIAL, &ek)?;
        cloud.change("suspend", SERIAL)?;
        let refused = next_refusal(&running, cloud, "suspended", "suspended")?;
        expect_event(cloud, &refused, "suspended", "warning")?;
        ensure_absent(&running.console().lines(), "holdfast: enrolled")?;

        // The operator lets it in; nobody touches the device.
        cloud.change("resume", SERIAL)?;
        wait_within(&running, "holdfast: enrolled ", BACKOFF)?;
        let active = wait_active(&running)?;
        ensure!(!active.offline);
        let shown = cloud.show(SERIAL)?;
        ensure!(text(&shown, "state")? == "active", "{shown}");
        ensure!(text(&shown, "id")? == active.device_id, "{shown}");
        let live = devices(cloud)?.iter().filter(|device| device["state"] != "retired").count();
        ensure!(live == 1, "there are {live} devices that are not retired");
        Report::wait(&running, "active")?.ensure_green()?;
        Ok(())
    })
}

#[test]
#[ignore = "one of the long matrices: the test before covers a device without a certificate"]
fn an_active_device_that_is_suspended_hears_it_and_recovers_by_itself() -> Outcome {
    trial("an_active_device_that_is_suspended_hears_it_and_recovers_by_itself", |trial| {
        let first = first_boot::stage(&trial.workshop)?;
        let bench = first.bench(trial)?;
        let cloud = bench.cloud();
        let device = first.device(&bench, &trial.folder)?;
        cloud.change("suspend", first_boot::SERIAL)?;
        let running = device.power_on(PowerOn::default())?;
        let refused = wait_refused(&running, "suspended")?;
        let event = event_of_request(cloud, &refused.request_id)?;
        ensure!(event["code"] == "suspended", "{event}");
        Report::wait(&running, "refused")?.ensure_names("enrolment", "suspended")?;

        cloud.change("resume", first_boot::SERIAL)?;
        let active = wait_within(&running, "offline=false", BACKOFF)?;
        ensure!(word(&active, "device_id")? == first.text("device_id")?, "{active}");
        let shown = cloud.show(first_boot::SERIAL)?;
        ensure!(text(&shown, "state")? == "active", "{shown}");
        ensure!(
            list(&shown, "certificates")?.len() == 1,
            "it needed no other certificate: {shown}"
        );
        Ok(())
    })
}

/// What a large maker of boards ships unless it is told otherwise.
const PLACEHOLDER: Uuid = uuid!("03000200-0400-0500-0006-000700080009");

#[test]
fn a_board_whose_system_uuid_is_a_placeholder_does_not_enrol() -> Outcome {
    trial("a_board_whose_system_uuid_is_a_placeholder_does_not_enrol", |trial| {
        let bench = Bench::fresh(&trial.workshop, &trial.folder, Ports::any()?)?;
        bench.publish("release")?;
        let folder = trial.folder.join(DEVICE);
        let make = trial.workshop.device(&folder, "release", SERIAL)?.uuid(PLACEHOLDER);
        let device = bench.equip(make)?;
        bench.register(&device)?;
        let running = device.power_on(PowerOn::default())?;
        wait_for(&running, "holdfast: faulted code=machine-id-invalid")?;
        let report = Report::wait(&running, "faulted")?;
        report.ensure_names("enrolment", "machine-id-invalid")?;
        report.ensure_names("hardware", "a system UUID of its own")?;
        ensure_absent(&running.console().lines(), "holdfast: enrolled")?;
        let shown = bench.cloud().show(SERIAL)?;
        ensure!(text(&shown, "state")? == "registered", "{shown}");
        ensure!(list(&shown, "certificates")?.is_empty(), "{shown}");
        Ok(())
    })
}

/// Waits for a refusal that the device hears as `heard` and the cloud knows as `known`; refusals
/// that were under way when the registration changed are passed over. Returns its request id.
fn next_refusal(running: &Running, cloud: &Client, heard: &str, known: &str) -> Result<String> {
    loop {
        let line = wait_within(running, "holdfast: refused code=", BACKOFF)?;
        let refused = parse_refused(&line)?;
        let event = event_of_request(cloud, &refused.request_id)?;
        if event["code"] == known {
            ensure!(refused.code == heard, "the device heard {}, not {heard}", refused.code);
            return Ok(refused.request_id);
        }
    }
}

fn expect_event(cloud: &Client, request_id: &str, code: &str, severity: &str) -> Result<()> {
    let event = event_of_request(cloud, request_id)?;
    ensure!(event["code"] == code && event["severity"] == severity, "{event}");
    ensure!(event["edge_id"] == SERIAL, "{event}");
    let events = cloud.events(SERIAL)?;
    ensure!(events.iter().any(|event| event["request_id"] == request_id), "{events:?}");
    Ok(())
}
