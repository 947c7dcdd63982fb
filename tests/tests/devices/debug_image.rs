//! A genuine TPM that booted a system which the operator did not publish.

use std::time::Duration;

use anyhow::ensure;
use holdfast_qemu::PowerOn;
use holdfast_tests::{Bench, Ports};

use crate::support::cloud::{event_of_request, list, text};
use crate::support::console::{wait_active, wait_refused, wait_within};
use crate::support::report::Report;
use crate::support::stage::DEVICE;
use crate::support::trial::{Outcome, trial};

const SERIAL: &str = "HF-E2E-0003";

#[test]
fn a_genuine_tpm_with_the_debug_image_is_not_enrolled_until_it_is_published() -> Outcome {
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

        // The device itself names the fault.
        Report::wait(&running, "refused")?.ensure_names("enrolment", "release-unknown")?;

        bench.publish("debug")?;
        wait_within(&running, "holdfast: enrolled ", Duration::from_secs(600))?;
        wait_active(&running)?;
        Report::wait(&running, "active")?.ensure_green()?;
        Ok(())
    })
}
