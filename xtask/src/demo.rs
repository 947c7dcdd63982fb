//! `cargo xtask demo`: from nothing to a device that has proven itself.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use holdfast_qemu::{Console, PowerOn};
use holdfast_tests::timeline::{self, Moment};
use holdfast_tests::{Bench, Client};
use serde_json::{Value, json};

use crate::device::session::{Session, Wish};
use crate::device::{self, DEMO, Making, Ready};
use crate::paths::Paths;
use crate::signals::Stop;

/// How the demo is run.
#[derive(Args)]
#[allow(clippy::struct_excessive_bools)] // a command line's switches
pub struct Options {
    /// End once the device is active
    #[arg(long)]
    exit: bool,
    /// Boot the device of the last demo once more instead of a new one
    #[arg(long)]
    again: bool,
    /// Print one JSON document on the last line of standard output
    #[arg(long)]
    json: bool,
}

/// An emulated processor on a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(600);
const ROUND: Duration = Duration::from_millis(50);

/// Runs the demo.
pub fn run(paths: &Paths, options: &Options) -> Result<()> {
    let folder = device::folder(paths, DEMO)?;
    device::ensure_off(&folder, DEMO)?;
    let Ready { mut bench, device } = if options.again {
        ensure!(Bench::is_at(&folder), "there was no demo yet; run `cargo xtask demo` first");
        device::take(paths, &folder)?
    } else {
        let serial = device::serial_of(DEMO);
        device::make(
            paths,
            &folder,
            &Making { profile: "release", serial: &serial, publish: true },
        )?
    };
    let serial = device.system().serial.clone();
    let say = Say { quiet: options.json };
    let stop = Stop::on_signals()?;
    let mut session = Session::new(device.power_on(PowerOn::default())?, &folder, stop)?;
    let timeline = match follow(&mut session, &say) {
        Ok(Outcome::Active(timeline)) => timeline,
        Ok(Outcome::Ended(wish)) => {
            let how = session.end(wish)?;
            bench.stop_cloud()?;
            bail!("before it was active, {how}");
        }
        Err(error) => {
            report_failure(session.console(), bench.cloud(), &serial);
            return Err(error).context("the device did not become active");
        }
    };
    let cpu_seconds = session.running().usage().cpu.total().as_secs_f64();
    let identity = identity(&bench.cloud().show(&serial)?);
    say.line(&format!("\nThe device as the connector knows it:\n{}", facts(&identity)));
    say.line(&format!("QEMU used {cpu_seconds:.1} s of processor time.\n"));
    let document =
        json!({ "timeline": timeline, "device": identity, "cpu_seconds": cpu_seconds }).to_string();
    let wish = if options.exit {
        Wish::Stop
    } else {
        say.line(&device::ways_in(&bench, DEMO));
        say.line("\nThe device stays on; its console follows. Ctrl-C ends the demo.\n");
        if options.json {
            println!("{document}");
        }
        stay(&mut session, &say)?
    };
    say.line("\nending the demo ...");
    let how = session.end(wish)?;
    bench.stop_cloud()?;
    say.line(&how);
    if options.json && options.exit {
        println!("{document}");
    }
    Ok(())
}

/// Text for people; with `--json` it leaves standard output alone.
struct Say {
    quiet: bool,
}

impl Say {
    fn line(&self, text: &str) {
        if self.quiet {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
    }
}

enum Outcome {
    Active(Vec<Moment>),
    Ended(Wish),
}

/// Prints the events as they come, until the device is active.
fn follow(session: &mut Session, say: &Say) -> Result<Outcome> {
    let mut shown = 0;
    say.line("\nThe device is on:");
    loop {
        let lines = session.console().lines();
        let moments = timeline::read(&lines);
        for moment in moments.iter().skip(shown) {
            say.line(&format!("  {:>6.1} s  {}", moment.seconds, moment.event.replace('-', " ")));
        }
        shown = shown.max(moments.len());
        if moments.last().is_some_and(|moment| moment.event == timeline::ACTIVE) {
            return Ok(Outcome::Active(moments));
        }
        if let Some(line) = timeline::trouble(&lines) {
            // What follows explains.
            thread::sleep(Duration::from_secs(2));
            bail!("its console says: {}", line.text.trim());
        }
        if let Some(wish) = session.round()? {
            return Ok(Outcome::Ended(wish));
        }
        if session.running().elapsed() > PATIENCE {
            bail!("{} seconds have passed", PATIENCE.as_secs());
        }
        thread::sleep(ROUND);
    }
}

/// Shows the console until somebody ends the device.
fn stay(session: &mut Session, say: &Say) -> Result<Wish> {
    let output = session.console().listen();
    loop {
        while let Ok(bytes) = output.try_recv() {
            if !say.quiet {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(&bytes).and_then(|()| stdout.flush())?;
            }
        }
        if let Some(wish) = session.round()? {
            return Ok(wish);
        }
        thread::sleep(ROUND);
    }
}

/// What an operator wants to know of a device.
fn identity(shown: &Value) -> Value {
    let certificate = &shown["certificates"][0];
    json!({
        "edge_id": shown["edge_id"],
        "device_id": shown["id"],
        "state": shown["state"],
        "tenant": shown["tenant"],
        "ek_sha256": shown["ek_sha256"],
        "release": shown["enrolments"][0]["release"],
        "certificate": {
            "serial": certificate["serial"],
            "not_after": certificate["not_after"],
            "attested": certificate["attested"],
        },
    })
}

fn facts(identity: &Value) -> String {
    let mut text = String::new();
    let rows = [
        ("Edge ID", "/edge_id"),
        ("state", "/state"),
        ("tenant", "/tenant"),
        ("device id", "/device_id"),
        ("EK SHA-256", "/ek_sha256"),
        ("booted", "/release"),
        ("certificate", "/certificate/serial"),
        ("valid until", "/certificate/not_after"),
    ];
    for (name, place) in rows {
        let value = identity.pointer(place).and_then(Value::as_str).unwrap_or("-");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<14}{value}");
    }
    text
}

/// What helps to find out why a device did not become active.
fn report_failure(console: &Console, cloud: &Client, edge_id: &str) {
    const LINES: usize = 40;
    let lines = console.lines();
    eprintln!("\nThe end of the device's console:");
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        eprintln!("  {:>8.3}  {}", line.at.as_secs_f64(), line.text);
    }
    eprintln!("All of it: {}", console.transcript().display());
    match cloud.events(edge_id) {
        Ok(events) if events.is_empty() => {
            eprintln!("The connector has seen nothing of {edge_id}.");
        }
        Ok(events) => {
            eprintln!("What the connector has seen of {edge_id}, newest first:");
            for event in events.iter().take(10) {
                let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
                eprintln!("  {}  {}  {}", text("at"), text("kind"), text("detail"));
            }
        }
        Err(error) => eprintln!("The connector does not answer: {error:#}"),
    }
    eprintln!("The connector's log: {}\n", log_of(cloud.data()).display());
}

fn log_of(data: &Path) -> std::path::PathBuf {
    data.with_extension("log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_told_in_words() {
        let shown = json!({
            "id": "2f6a", "edge_id": "HF-DEMO-0001", "state": "active", "tenant": "demo",
            "ek_sha256": "ab", "events": [],
            "certificates": [{ "serial": "0c", "not_after": "2027-01-01T00:00:00Z", "attested": true }],
            "enrolments": [{ "release": "holdfast 0.1.0 (release)" }],
        });
        let identity = identity(&shown);
        assert_eq!(identity["certificate"]["serial"], "0c");
        let text = facts(&identity);
        assert!(text.contains("  Edge ID       HF-DEMO-0001\n"), "{text}");
        assert!(text.contains("  valid until   2027-01-01T00:00:00Z\n"), "{text}");
    }

    #[test]
    fn a_device_without_a_certificate_has_dashes() {
        let text =
            facts(&identity(&json!({ "edge_id": "E", "certificates": [], "enrolments": [] })));
        assert!(text.contains("  certificate   -\n"), "{text}");
    }
}
