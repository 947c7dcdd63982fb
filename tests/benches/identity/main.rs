//! `cargo xtask bench identity`: what an identity costs the server and the device.
//!
//! The connector, the enroller and OpenSSL's `s_server` run as processes of their own; the clients
//! are here. Each figure is of the server's process alone.

mod chip;
mod device;
mod enrolments;
mod handshakes;
mod idle;
mod link;
mod requests;
mod tpm_bus;
mod usage;
mod world;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use world::World;

/// Devices that enrol.
const DEVICES: usize = 24;

#[derive(Parser)]
struct Options {
    /// holdfast-cloud, built with the profile `cloud`
    #[arg(long)]
    cloud: PathBuf,
    /// holdfast-enroll, built with the profile `release`
    #[arg(long)]
    enroller: PathBuf,
    /// Where the raw figures go
    #[arg(long)]
    output: PathBuf,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Serialize)]
struct Figures {
    command: &'static str,
    load: String,
    enrolments: enrolments::Figures,
    handshakes: handshakes::Figures,
    handshakes_of_openssl: handshakes::Figures,
    requests: requests::Figures,
    idle: idle::Figures,
    device: Vec<device::Figures>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned();

    let world = said("start a connector", || World::start(&options.cloud))?;
    let devices = said("make the keys of devices", || world.register(DEVICES))?;
    let (enrolments, identities) = said("enrol them", || enrolments::measure(&world, &devices))?;
    let identity = identities.first().context("no device enrolled")?;
    // The first request makes the device active, which is written down; the others are not.
    link::Dial::new(world.device(), &world.root, Some(identity), false)?
        .open()?
        .get("/api/v1/device/self")?;
    let figures = Figures {
        command: "cargo xtask bench identity",
        load,
        enrolments,
        handshakes: said("handshakes with the connector", || {
            handshakes::of_connector(&world, identity)
        })?,
        handshakes_of_openssl: said("handshakes with openssl s_server", || {
            handshakes::of_openssl(&world, identity)
        })?,
        requests: said("requests", || requests::measure(&world, identity))?,
        idle: said("idle connections", || idle::measure(&world, identity))?,
        device: ["tpm-pss", "software-pss"]
            .into_iter()
            .map(|mode| {
                said(&format!("the enroller, {mode}"), || {
                    device::measure(&world, &options.enroller, mode)
                })
            })
            .collect::<Result<_>>()?,
    };
    fs::write(&options.output, serde_json::to_vec_pretty(&figures)?)
        .with_context(|| format!("write {}", options.output.display()))?;
    print!("{}", report(&figures)?);
    println!("\nRaw figures: {}", options.output.display());
    Ok(())
}

fn said<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprint!("  {what} ...");
    let begun = Instant::now();
    let result = work();
    eprintln!(" {:.1} s", begun.elapsed().as_secs_f32());
    result.with_context(|| what.to_owned())
}

fn report(figures: &Figures) -> Result<String> {
    let mut text =
        String::from("| figure | connector | openssl s_server | aim |\n|---|---:|---:|---:|\n");
    let Figures { enrolments, handshakes: ours, handshakes_of_openssl: theirs, .. } = figures;
    let Figures { requests, idle, .. } = figures;
    writeln!(
        text,
        "| processor time per attested enrolment, ms | {:.2} | - | 3.3 |",
        enrolments.cpu_ms_each
    )?;
    writeln!(
        text,
        "| of that: TLS handshake / nonce / certificate, ms | {:.2} / {:.2} / {:.2} | - | |",
        enrolments.handshake_cpu_ms_each,
        enrolments.nonce_cpu_ms_each,
        enrolments.cpu_ms_each - enrolments.handshake_cpu_ms_each - enrolments.nonce_cpu_ms_each
    )?;
    for (name, ours, theirs, aim) in [
        ("full", ours.full_cpu_ms_each, theirs.full_cpu_ms_each, "1.0"),
        ("resumed", ours.resumed_cpu_ms_each, theirs.resumed_cpu_ms_each, "0.33"),
    ] {
        writeln!(
            text,
            "| processor time per {name} mutual TLS handshake, ms | {ours:.2} | {theirs:.2} | {aim} |"
        )?;
    }
    writeln!(
        text,
        "| processor time per device request, ms | {:.2} | - | |",
        requests.cpu_ms_each
    )?;
    writeln!(
        text,
        "| latency at {} requests/s, p50 / p99 / longest, ms | {:.1} / {:.1} / {:.1} | - | p99 20 |",
        requests.rate, requests.p50_ms, requests.p99_ms, requests.longest_ms
    )?;
    writeln!(
        text,
        "| most requests/s, clients on the same processors | {:.0} | - | |",
        requests.most_per_second
    )?;
    writeln!(
        text,
        "| memory (PSS) with {} idle connections, MB | {} | - | 300 |",
        idle.connections,
        idle.pss_kib / 1024
    )?;
    writeln!(text, "| memory (PSS) before them, MB | {} | - | |", idle.pss_kib_before / 1024)?;
    writeln!(
        text,
        "\n| device, middle of some runs | {} | aim |\n|---|---:|---:|---:|",
        figures.device.iter().map(device::Figures::mode).collect::<Vec<_>>().join(" | ")
    )?;
    let mut row = |name: &str, aim: &str, value: &dyn Fn(&device::Figures) -> String| {
        let values: Vec<_> = figures.device.iter().map(value).collect();
        writeln!(text, "| {name} | {} | {aim} |", values.join(" | "))
    };
    row("TPM time to the certificate, ms", "2000", &|f| format!("{:.0}", f.tpm_ms()))?;
    row("the longest of them, ms", "", &|f| format!("{:.0}", f.longest_tpm_ms()))?;
    row("start to the certificate, ms", "", &|f| format!("{:.0}", f.certificate_ms()))?;
    row("processor time of the enroller until it rests, ms", "", &|f| {
        format!("{:.0}", f.cpu_ms())
    })?;
    row("memory (PSS) of the enroller at rest, KiB", "8192", &|f| f.pss_kib().to_string())?;
    Ok(text)
}
