//! The figures as tables.

use std::fmt::Write as _;

use super::guest::{Burst, Guest, Programs};
use super::host::Host;

/// Everything for people; as it stands in `docs/measurements.md`.
pub fn text(guest: Option<&Guest>, host: Option<&Host>) -> String {
    let mut text = String::new();
    if let Some(guest) = guest {
        programs(&mut text, &guest.programs);
        bursts(&mut text, guest);
        let (records, bare) = (&guest.wait.records, &guest.wait.bare);
        let full = &guest.full;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\n| durable in the guest, µs | p50 | p99 |\n|---|---:|---:|\n\
             | a call over D-Bus with its record | {} | {} |\n| 4 KiB written and synced | {} | {} |\n\n\
             | start of the daemon | MB in the spool | ms | PSS, KiB |\n|---|---:|---:|---:|\n\
             | hardly anything | | {} | |\n| full | {} | {} | {} |",
            records.p50_us,
            records.p99_us,
            bare.p50_us,
            bare.p99_us,
            full.empty_start_ms,
            full.bytes / 1_000_000,
            full.start_ms,
            full.pss_kib,
        );
    }
    if let Some(host) = host {
        on_this_machine(&mut text, host);
    }
    text
}

fn on_this_machine(text: &mut String, host: &Host) {
    let of = |value: &serde_json::Value, path: &str| {
        value.pointer(path).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN)
    };
    let (pipeline, ingest) = (&host.pipeline, &host.ingest);
    let kernel = "/figures/kernel-events/ingested_per_second_of_processor_time";
    let _ = writeln!(
        text,
        "\n| this machine, per second and core | events | messages | aim |\n|---|---:|---:|---:|\n\
         | into the log, on disk | {:.0} | {:.0} | 200,000 |\n| verified with the device's profile | {:.0} | | |\n\
         | verified with the cloud's profile | {:.0} | | 500,000 |\n\
         | into the connector | {:.0} | | 100,000 |",
        of(pipeline, "/events_per_second_of_processor_time"),
        of(pipeline, "/messages_per_second_of_processor_time"),
        of(pipeline, "/verified_per_second"),
        of(&host.pipeline_for_speed, "/verified_per_second"),
        of(ingest, kernel),
    );
}

/// The run in the middle by processor time, of each way in which a daemon works.
fn programs(text: &mut String, runs: &[Programs]) {
    let mut peers: Vec<&str> = Vec::new();
    for run in runs {
        if !peers.contains(&run.peer.as_str()) {
            peers.push(&run.peer);
        }
    }
    *text += "| programs that start | started | in its log | lost by the kernel | CPU s per 1,000 | PSS, KiB |\n\
              |---|---:|---:|---:|---:|---:|\n";
    for peer in peers {
        let mut runs: Vec<&Programs> = runs.iter().filter(|run| run.peer == peer).collect();
        runs.sort_by(|a, b| a.cpu_seconds_per_1000.total_cmp(&b.cpu_seconds_per_1000));
        if let Some(run) = runs.get(runs.len() / 2) {
            let _ = writeln!(
                text,
                "| {peer} | {} | {} | {} | {:.3} | {} |",
                run.started, run.logged, run.kernel_lost, run.cpu_seconds_per_1000, run.pss_kib
            );
        }
    }
}

fn bursts(text: &mut String, guest: &Guest) {
    let _ = writeln!(
        text,
        "\n| calls for 10 s, backlog {} | made | in its log | missing | messages lost by the kernel | told by its log | CPU s |\n\
         |---|---:|---:|---:|---:|---|---:|",
        guest.burst_backlog
    );
    for Burst { peer, made, logged, kernel_lost, told, cpu_seconds } in &guest.bursts {
        let told = told.as_ref().map_or_else(
            || "-".to_owned(),
            |told| {
                told.iter().map(|(why, n)| format!("{n} ({why})")).collect::<Vec<_>>().join(", ")
            },
        );
        let _ = writeln!(
            text,
            "| {} | {made} | {logged} | {} | {kernel_lost} | {told} | {cpu_seconds:.2} |",
            peer.name(),
            made.saturating_sub(*logged),
        );
    }
}
