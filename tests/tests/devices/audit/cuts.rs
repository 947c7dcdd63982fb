//! Power cuts while records are made.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_audit_log::{Action, Actor, AuditRecord, Source, Text};
use holdfast_qemu::{Line, PowerCutPlan, PowerOn, Rng};
use holdfast_tests::{Bench, Ports};
use serde_json::Value;

use super::{SERIAL, records, run, search};
use crate::support::console::{read_transcript, wait_active, wait_for};
use crate::support::stage::DEVICE;
use crate::support::trial::{Outcome, trial};

/// Beyond the end of every log: asking for it gives nothing, and is recorded.
const MARK: u64 = 1 << 62;
/// Longest time under load before the power is cut, milliseconds.
const LOAD: u64 = 4000;

/// Makes one record after the other, and prints the number of each call that was answered: only then
/// is the record durable.
fn load(first: u64) -> String {
    let audit = "org.holdfast.Audit1 /org/holdfast/Audit1 org.holdfast.Audit1";
    format!(
        "i={first}; while :; do busctl call {audit} Export t $(({MARK} + i)) > /dev/null && \
         echo \"answered-\"\"$i.\"; i=$((i + 1)); done"
    )
}

/// Numbers that the generator printed.
fn answered(lines: &[Line]) -> Vec<u64> {
    let number = |line: &Line| {
        let (_, rest) = line.text.split_once("answered-")?;
        rest.split_once('.')?.0.parse().ok()
    };
    lines.iter().filter_map(number).collect()
}

/// The digest in the record of the call with this number.
fn digest_of(number: u64) -> Result<String> {
    let (time, action) = (time::OffsetDateTime::UNIX_EPOCH, Action::new("audit.export")?);
    let record = AuditRecord::new(time, Source::cloud(), Actor::system(), action, Text::default());
    let json = record.with_arguments(&[&(MARK + number).to_be_bytes()]).to_json()?;
    let json: Value = serde_json::from_str(&json)?;
    Ok(json["arguments_sha256"].as_str().context("no digest")?.to_owned())
}

#[test]
fn three_power_cuts_under_load_lose_no_record_that_was_answered_and_are_no_fork() -> Outcome {
    trial("three_power_cuts_under_load_lose_no_record_that_was_answered_and_are_no_fork", |trial| {
        let bench = Bench::fresh(&trial.workshop, &trial.folder, Ports::any()?)?;
        bench.publish("test")?;
        let mut device = bench.make_device(DEVICE, "test", SERIAL)?;
        bench.register(&device)?;
        let mut seeds = Rng::new(PowerCutPlan::seed()?);
        let mut made = Vec::new();
        for cut in 0..3u64 {
            let running = device.power_on(PowerOn::default())?;
            wait_active(&running)?;
            // A number of its own for each run: what was tried and not answered may be there too.
            let first = cut * 1_000_000;
            running.console().send_line(&load(first))?;
            wait_for(&running, &format!("answered-{first}."))?;
            thread::sleep(Duration::from_millis(seeds.next() % LOAD));
            let transcript = running.console().transcript().to_owned();
            let report;
            (device, report) = running.power_cut(&mut seeds)?;
            let numbers = answered(&read_transcript(&transcript)?);
            println!("{report}; {} records were answered", numbers.len());
            ensure!(!numbers.is_empty(), "the load generator made nothing");
            made.extend(numbers);
        }
        let running = device.power_on(PowerOn::default())?;
        wait_active(&running)?;
        let audit = "org.holdfast.Audit1 /org/holdfast/Audit1 org.holdfast.Audit1";
        run(&running, "flush", &format!("busctl call {audit} Flush"))?;
        search(&bench, "the last start", |record| record["action"] == "audit.flush")?;

        let mut found = BTreeMap::<String, usize>::new();
        for record in records(&bench)? {
            if let Some(digest) = record["payload"]["arguments_sha256"].as_str() {
                *found.entry(digest.to_owned()).or_default() += 1;
            }
        }
        for number in made {
            let times = found.get(&digest_of(number)?).copied().unwrap_or(0);
            ensure!(times == 1, "record {number} was answered, and is there {times} times");
        }
        let events = bench.cloud().events(SERIAL)?;
        let alarm = events.iter().find(|event| event.to_string().contains("audit-"));
        ensure!(alarm.is_none(), "an ordinary power cut is an alarm: {alarm:?}");
        Ok(())
    })
}
