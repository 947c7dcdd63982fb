//! The figures as tables.

use std::fmt::Write as _;
use std::time::Duration;

use super::guest::{Guest, Latency};
use super::host::Size;

/// Everything for people; as it stands in `docs/measurements.md`.
pub fn text(guest: Option<&Guest>, host: Option<&[Size]>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if let Some(Guest { daemons, cycles }) = guest {
        text += "| in the guest | found to write, p50 ms | p99 ms | found to let in, p50 ms | p99 ms | \
                 PSS, KiB |\n|---|---:|---:|---:|---:|---:|\n";
        for daemon in daemons {
            let (p50, p99) = milliseconds(daemon.written.as_ref());
            let (let_in_p50, let_in_p99) = milliseconds(Some(&daemon.let_in));
            let pss = daemon.pss_kib.map_or("-".to_owned(), |kib| kib.to_string());
            let _ = writeln!(
                text,
                "| {} | {p50} | {p99} | {let_in_p50} | {let_in_p99} | {pss} |",
                daemon.name,
            );
        }
        let _ = writeln!(
            text,
            "\n| plugged in | let in by a rule | found that no rule is for | of these let in | s |\n\
             |---:|---:|---:|---:|---:|\n| {} | {} | {} | {} | {} |",
            cycles.plugged,
            cycles.good_let_in,
            cycles.evil_found,
            cycles.violations,
            cycles.seconds,
        );
    }
    if let Some(sizes) = host {
        text += "\n| this machine, rules | evaluated, p50 µs | p99 µs | event to write, p50 µs | p99 µs |\n\
                 |---:|---:|---:|---:|---:|\n";
        for Size { rules, evaluation, event_to_write } in sizes {
            let _ = writeln!(
                text,
                "| {rules} | {} | {} | {} | {} |",
                evaluation.p50_ns / 1000,
                evaluation.p99_ns / 1000,
                event_to_write.p50_ns / 1000,
                event_to_write.p99_ns / 1000,
            );
        }
    }
    text
}

fn milliseconds(latency: Option<&Latency>) -> (String, String) {
    let text = |us: u64| format!("{:.1}", Duration::from_micros(us).as_secs_f64() * 1000.0);
    latency.map_or(("-".to_owned(), "-".to_owned()), |latency| {
        (text(latency.p50_us), text(latency.p99_us))
    })
}
