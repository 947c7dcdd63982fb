//! What the log costs besides the kernel: messages become events, events become records of the chain,
//! on disk; and what it costs to verify them.
//!
//! `cargo bench --locked --profile release -p holdfast-audit --bench pipeline [-- --output FILE]`
#![allow(clippy::unwrap_used, clippy::expect_used)] // a bench that cannot be set up says so

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use holdfast_audit::engine::Engine;
use holdfast_audit::netlink::Batch;
use holdfast_audit::now::now;
use holdfast_audit::spool::{Folder, Limits, Spool};
use holdfast_audit::start::segments;
use holdfast_audit_log::Origin;
use holdfast_audit_log::kernel::{Assembler, Limits as AssemblerLimits, sample};
use holdfast_audit_log::verify::Verifier;
use serde_json::{Value, json};

const EVENTS: u32 = 300_000;
/// Messages that the reader takes at once.
const AT_ONCE: usize = 64;

/// Messages as the reader hands them over.
fn stream() -> (Vec<Batch>, u64) {
    let (mut batches, mut batch, mut waiting, mut messages) = (Vec::new(), Batch::default(), 0, 0);
    for serial in 1..=EVENTS {
        for (kind, text) in sample::execution(serial) {
            let payload = format!("audit(1800000000.000:{serial}): {text}");
            batch.push(kind, payload.as_bytes());
            messages += 1;
            waiting += 1;
            if waiting == AT_ONCE {
                batches.push(std::mem::take(&mut batch));
                waiting = 0;
            }
        }
    }
    batches.push(batch);
    (batches, messages)
}

/// Processor time of all threads (proc(5): utime and stime, in hundredths of a second).
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Processor time and time of the whole way into the log.
fn record(folder: &Path, batches: &[Batch]) -> (Duration, Duration) {
    let origin = || Origin::new("holdfast/audit/00000000000000000000000000000000").unwrap();
    let limits = Limits { total: 1 << 30, ..Limits::default() };
    let (spool, _) = Spool::open(Folder::new(folder), limits, origin).unwrap();
    let assembler = Assembler::new(AssemblerLimits::default());
    let mut engine = Engine::<_, ()>::new(spool, assembler, None, now());
    let (cpu, begun) = (processor_time(), Instant::now());
    for batch in batches {
        let now = now();
        engine.kernel(batch, now);
        if engine.is_commit_due(now.boottime_ns) {
            engine.commit().1.unwrap();
        }
    }
    engine.finish(now());
    engine.commit().1.unwrap();
    assert_eq!(engine.spool().durable_size(), u64::from(EVENTS));
    assert!(engine.lost().is_empty(), "{:?}", engine.lost());
    (processor_time().saturating_sub(cpu), begun.elapsed())
}

fn verify(folder: &Path) -> Duration {
    let segments: Vec<(String, Vec<u8>)> = segments(folder)
        .iter()
        .map(|segment| (segment.name(), fs::read(folder.join(segment.name())).unwrap()))
        .collect();
    let begun = Instant::now();
    let mut verifier = Verifier::without_key(None);
    for (name, bytes) in &segments {
        verifier.segment(name, bytes);
    }
    let report = verifier.finish(&[]).report;
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    begun.elapsed()
}

fn per_second(count: u64, time: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let count = count as f64;
    count / time.as_secs_f64()
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let output = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--output"), Some(path)) => Some(PathBuf::from(path)),
        (None, _) => None,
        _ => panic!("usage: pipeline [--output FILE]"),
    };
    let folder = tempfile::tempdir().unwrap();
    let (batches, messages) = stream();
    let (cpu, wall) = record(folder.path(), &batches);
    let verified = verify(folder.path());
    let events = u64::from(EVENTS);
    let figures: Value = json!({
        "events": events,
        "messages": messages,
        "events_per_second_of_processor_time": per_second(events, cpu),
        "messages_per_second_of_processor_time": per_second(messages, cpu),
        "events_per_second": per_second(events, wall),
        "verified_per_second": per_second(events, verified),
    });
    println!("{figures:#}");
    if let Some(path) = output {
        fs::write(&path, serde_json::to_vec_pretty(&figures).unwrap()).unwrap();
    }
}
