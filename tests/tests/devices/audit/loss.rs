//! Nothing is lost silently: more happens than the kernel holds, or than the daemon reads.
//!
//! How much happened is counted by who made it happen, and what the kernel lost by auditctl.

use anyhow::{Context, Result, ensure};
use holdfast_qemu::Running;
use holdfast_tests::Bench;
use serde_json::Value;

use super::{as_alice, is_of_alice, records, run, search};
use crate::support::console::wait_for;

/// Files of alice's. To change their modes is a call for each and one for their folder, and five
/// messages of the kernel for each call, of which it holds 8,192.
const FILES: u64 = 2500;

/// The program that changes all modes once.
fn change(mode: &str) -> String {
    format!("chmod -R {mode} /run/alice")
}

/// What the log in the cloud says.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// Changes of modes of alice's files.
    calls: u64,
    /// Messages that the kernel says it lost.
    kernel_lost: u64,
    /// Events whose serial numbers are missing.
    gaps: u64,
    /// Times that the socket's buffer was full.
    overflows: u64,
}

impl Told {
    /// All of it, once the record of a flush that comes last is there.
    fn by(bench: &Bench, running: &Running, step: &str) -> Result<Self> {
        // Losses are asked for every five seconds, and told after two.
        let mark = format!("told-{step}");
        run(
            running,
            step,
            &format!("sleep 8; {}", as_alice(&format!("/usr/bin/env {mark}=1 true"))),
        )?;
        search(bench, &mark, |record| {
            is_of_alice(record, "hf-exec") && record["summary"].to_string().contains(&mark)
        })?;
        let mut told = Self::default();
        for record in records(bench)? {
            let count = record["payload"]["count"].as_u64().unwrap_or(0);
            match record["payload"]["cause"].as_str().filter(|_| record["kind"] == "loss") {
                Some("kernel-lost") => told.kernel_lost += count,
                Some("serial-gap") => told.gaps += count,
                Some("socket-overflow") => told.overflows += count,
                Some(other) => anyhow::bail!("lost for another reason: {other}"),
                None if is_change(&record) => told.calls += 1,
                None => {}
            }
        }
        Ok(told)
    }

    fn since(self, before: Self) -> Self {
        Self {
            calls: self.calls - before.calls,
            kernel_lost: self.kernel_lost - before.kernel_lost,
            gaps: self.gaps - before.gaps,
            overflows: self.overflows - before.overflows,
        }
    }
}

fn is_change(record: &Value) -> bool {
    is_of_alice(record, "hf-permission") && record["payload"].to_string().contains("/usr/bin/chmod")
}

/// What the kernel says it lost since its start.
fn kernel_lost(running: &Running) -> Result<u64> {
    // In two parts, so that the line that is typed is not taken for the answer.
    running.console().send_line("auditctl -s | sed -n 's/^lost /kernel-''lost /p'")?;
    let line = wait_for(running, "kernel-lost ")?;
    let number = line.rsplit(' ').next().unwrap_or_default().trim();
    number.parse().with_context(|| format!("auditctl says {line}"))
}

/// While the daemon is down, more happens than the kernel holds.
pub(super) fn what_the_kernel_loses_is_told(bench: &Bench, running: &Running) -> Result<()> {
    let files = format!(
        "mkdir -m 700 /run/alice; i=0; while [ $i -lt {FILES} ]; do : > /run/alice/$i; i=$((i + 1)); done; \
         chown -R 1234:1234 /run/alice"
    );
    run(running, "files", &files)?;
    let before = Told::by(bench, running, "before-down")?;
    let lost = kernel_lost(running)?;
    run(running, "down", "systemctl stop holdfast-audit")?;
    run(running, "changes", &as_alice(&change("g-r")))?;
    run(running, "up", "systemctl start holdfast-audit")?;
    let told = Told::by(bench, running, "after-down")?.since(before);
    let lost = kernel_lost(running)? - lost;
    let made = FILES + 1;
    println!("daemon down: {made} calls, {lost} messages lost by the kernel: {told:?}");
    ensure!(lost > 0 && told.calls < made, "the kernel held everything: {told:?}");
    ensure!(told.kernel_lost == lost, "the kernel lost {lost}: {told:?}");
    ensure!(told.calls + told.gaps >= made, "events are lost silently: {told:?}");
    Ok(())
}

/// The daemon stands still, and its socket's buffer and the kernel's queue fill; whoever causes more
/// waits.
pub(super) fn a_reader_that_stands_still_loses_nothing_silently(
    bench: &Bench,
    running: &Running,
) -> Result<()> {
    let before = Told::by(bench, running, "before-still")?;
    let lost = kernel_lost(running)?;
    let changes = ["g+r", "g-r", "g+r", "g-r"].map(change).join("; ");
    let still = format!(
        "systemctl kill --signal=STOP holdfast-audit; {} & sleep 15; \
         systemctl kill --signal=CONT holdfast-audit; wait $!",
        as_alice(&changes)
    );
    run(running, "still", &still)?;
    let told = Told::by(bench, running, "after-still")?.since(before);
    let lost = kernel_lost(running)? - lost;
    let made = 4 * (FILES + 1);
    println!("reader stopped: {made} calls, {lost} messages lost by the kernel: {told:?}");
    ensure!(told.overflows > 0, "the buffer was large enough: {told:?}");
    ensure!(told.kernel_lost == lost, "the kernel lost {lost}: {told:?}");
    ensure!(told.calls + told.gaps >= made, "events are lost silently: {told:?}");
    Ok(())
}
