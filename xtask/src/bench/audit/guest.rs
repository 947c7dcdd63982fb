//! What is measured on a booted device.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use holdfast_qemu::PowerOn;
use holdfast_tests::Bench;
use serde::{Deserialize, Serialize};

use super::Options;
use super::peer::Peer;
use crate::bench::shell::Shell;
use crate::device::{self, Making, Ready};
use crate::paths::Paths;

const NAME: &str = "bench-audit";
const PROFILE: &str = "bench";
/// Longest wait for a start of the device.
const PATIENCE: Duration = Duration::from_secs(240);
/// Time in which a daemon comes to rest after a load, and the kernel is asked what it lost.
const REST: &str = "sleep 8";
/// The kernel's backlog in the image's rules, messages.
const BACKLOG: u64 = 8192;
/// The user whose acts are recorded. `/etc` cannot be written to.
const MAKE_ALICE: &str = r#"rm -f /run/nologin; cd /run/userdb; printf '{"userName":"alice","uid":1234,"gid":1234,"disposition":"regular","homeDirectory":"/run/alice","shell":"/bin/sh"}' > alice.user; ln -sf alice.user 1234.user; printf '{"groupName":"alice","gid":1234}' > alice.group; ln -sf alice.group 1234.group; cd /; mkdir -p -m 777 /run/alice"#;

/// All of it.
#[derive(Serialize)]
pub struct Guest {
    /// Programs that start, without and with the upload of the log.
    pub programs: Vec<Programs>,
    /// Calls as fast as they go, for ten seconds.
    pub bursts: Vec<Burst>,
    /// Messages that the kernel may hold in the bursts, so that auditd loses some.
    pub burst_backlog: u64,
    /// How long a record takes until it is durable.
    pub wait: Wait,
    /// A start with a full spool.
    pub full: Full,
}

/// A run with programs that start.
#[derive(Clone, Serialize)]
pub struct Programs {
    /// Which daemon, and how it works.
    pub peer: String,
    /// Programs that were started.
    pub started: u64,
    /// In so many seconds.
    pub seconds: f64,
    /// Programs that are in the daemon's log.
    pub logged: u64,
    /// Messages that the kernel lost meanwhile.
    pub kernel_lost: u64,
    /// Processor seconds of the daemon per 1,000 programs.
    pub cpu_seconds_per_1000: f64,
    /// Its memory afterwards, KiB.
    pub pss_kib: u64,
}

/// A run with calls as fast as they go.
#[derive(Clone, Serialize)]
pub struct Burst {
    /// Which daemon.
    pub peer: Peer,
    /// Calls that were made.
    pub made: u64,
    /// Calls that are in the daemon's log.
    pub logged: u64,
    /// Messages that the kernel lost meanwhile, as it says.
    pub kernel_lost: u64,
    /// What the daemon's own log says is lost, by cause.
    pub told: Option<BTreeMap<String, u64>>,
    /// Processor seconds of the daemon.
    pub cpu_seconds: f64,
}

/// Quantiles, microseconds.
#[derive(Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
}

/// How long a record takes.
#[derive(Serialize, Deserialize)]
pub struct Wait {
    /// A call over D-Bus whose record is durable when it returns.
    pub records: Quantiles,
    /// 4 KiB written and synced, in turn with the calls.
    pub bare: Quantiles,
}

/// A start with a full spool.
#[derive(Serialize)]
pub struct Full {
    /// Bytes in it.
    pub bytes: u64,
    /// From `systemctl start` to its return, milliseconds.
    pub start_ms: u64,
    /// The same with an empty spool.
    pub empty_start_ms: u64,
    /// Memory afterwards, KiB.
    pub pss_kib: u64,
}

#[derive(Deserialize)]
struct Done {
    done: u64,
    seconds: f64,
}

#[derive(Deserialize)]
struct Filled {
    bytes: u64,
}

/// Boots a device and measures.
pub fn run(paths: &Paths, options: &Options) -> Result<Guest> {
    let folder = device::folder(paths, NAME)?;
    device::ensure_off(&folder, NAME)?;
    let serial = device::serial_of(NAME);
    // What the connector does not know cannot enrol: no upload, until it is published.
    let making = Making { profile: PROFILE, serial: &serial, publish: false };
    let Ready { mut bench, device } = device::make(paths, &folder, &making)?;
    let running = device.power_on(PowerOn::default())?;
    running.console().wait_for("holdfast#", PATIENCE)?;
    let mut shell = Shell::new(&running);
    // It does not get an identity yet, and would say so again and again.
    shell.check("systemctl mask --runtime --now holdfast-console holdfast-enroll")?;
    until(&mut shell, "the audit daemon runs", "systemctl is-active --quiet holdfast-audit")?;
    shell.check(MAKE_ALICE)?;
    Peer::prepare(&mut shell)?;

    let mut programs = Vec::new();
    let mut round = 0;
    for _ in 0..options.rounds {
        for peer in Peer::ALL {
            round += 1;
            eprintln!("  {} programs, {} ...", options.programs, peer.name());
            with(peer, &mut shell, |shell| {
                let mark = format!("round-{round}");
                let since = peer.size(shell)?;
                let mut run = start_programs(peer, peer.name(), shell, options.programs, &mark)?;
                run.logged = peer.count_programs(shell, since, &mark)?;
                programs.push(run);
                Ok(())
            })?;
        }
    }
    let (bursts, burst_backlog) = burst_all(&mut shell)?;
    eprintln!("  records that somebody waits for ...");
    let wait = shell.json("holdfast-audit-load wait 400 /var/lib/peer")?;

    eprintln!("  the same programs while the log is uploaded ...");
    bench.publish(PROFILE)?;
    shell.check("systemctl unmask --runtime holdfast-enroll; systemctl start holdfast-enroll")?;
    let idle = "holdfast audit status --json | grep -q '\"state\":\"idle\"'";
    until(&mut shell, "all is uploaded", idle)?;
    for _ in 0..options.rounds {
        round += 1;
        let (how, mark) = ("holdfast-audit, uploading", format!("round-{round}"));
        let mut run = start_programs(Peer::Holdfast, how, &mut shell, options.programs, &mark)?;
        until(&mut shell, "all is uploaded", idle)?;
        run.logged = count_in_cloud(&bench, &serial, &mark)?;
        programs.push(run);
    }
    bench.stop_cloud()?;
    let full = start_full(&mut shell)?;
    running.shut_down(Duration::from_secs(180))?;
    Ok(Guest { programs, bursts, burst_backlog, wait, full })
}

fn until(shell: &mut Shell<'_>, what: &str, command: &str) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if shell.check(command).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_secs(2));
    }
    let log = shell.run("journalctl --no-pager -b -u holdfast-audit -n 20")?;
    bail!("not after {} seconds: {what}; the daemon said: {log}", PATIENCE.as_secs())
}

/// Lets one daemon be the kernel's while something is done. Ours is it otherwise.
fn with<T>(
    peer: Peer,
    shell: &mut Shell<'_>,
    act: impl FnOnce(&mut Shell<'_>) -> Result<T>,
) -> Result<T> {
    if peer == Peer::Holdfast {
        return act(shell);
    }
    Peer::Holdfast.stop(shell)?;
    peer.start(shell)?;
    // What happened in between comes first.
    shell.check(REST)?;
    let done = act(shell)?;
    peer.stop(shell)?;
    Peer::Holdfast.start(shell)?;
    shell.check(REST)?;
    Ok(done)
}

/// Lets alice run this, logged in as over sshd; the JSON that it prints.
fn as_alice<T: serde::de::DeserializeOwned>(shell: &mut Shell<'_>, command: &str) -> Result<T> {
    shell
        .json(&format!("systemd-run --quiet --wait --pipe -p User=alice -p PAMName=sshd {command}"))
}

fn kernel_lost(shell: &mut Shell<'_>) -> Result<u64> {
    shell.number("auditctl -s | grep '^lost ' | tr -dc 0-9; echo")
}

fn start_programs(
    peer: Peer,
    name: &str,
    shell: &mut Shell<'_>,
    count: u64,
    mark: &str,
) -> Result<Programs> {
    let lost = kernel_lost(shell)?;
    let before = peer.cpu_ns(shell)?;
    let Done { done, seconds } =
        as_alice(shell, &format!("holdfast-audit-load execute {count} {mark}"))?;
    shell.check(REST)?;
    let cpu = peer.cpu_ns(shell)?.saturating_sub(before);
    let pss_kib = peer.pss_kib(shell)?;
    let kernel_lost = kernel_lost(shell)?.saturating_sub(lost);
    Ok(Programs {
        peer: name.to_owned(),
        started: done,
        seconds,
        logged: 0,
        kernel_lost,
        cpu_seconds_per_1000: seconds_of(cpu) / to_f64(done) * 1000.0,
        pss_kib,
    })
}

/// How many programs the connector has that were started with this argument.
fn count_in_cloud(bench: &Bench, serial: &str, mark: &str) -> Result<u64> {
    let of = ["device-audit", "search", "--device", serial, "--class", "execution"];
    let arguments = [&of[..], &["--limit", "1000000"]].concat();
    let found = bench.cloud().json(&arguments)?;
    let records = found["items"].as_array().context("the search has no items")?;
    let argument = format!("a1=\\\"{mark}\\\"");
    let of_round =
        records.iter().filter(|record| record["payload"].to_string().contains(&argument));
    Ok(of_round.count() as u64)
}

/// The burst, made harder until auditd loses something; then the others, just so.
fn burst_all(shell: &mut Shell<'_>) -> Result<(Vec<Burst>, u64)> {
    let mut backlog = BACKLOG;
    let mut round = 0;
    let mut hard = |shell: &mut Shell<'_>, peer: Peer, backlog: u64| {
        round += 1;
        eprintln!("  a burst with a backlog of {backlog}, {} ...", peer.name());
        with(peer, shell, |shell| {
            shell.check(&format!("auditctl -b {backlog} > /dev/null"))?;
            shell.check("auditctl --backlog_wait_time 0 > /dev/null")?;
            let result = burst(peer, shell, round);
            shell.check(&format!("auditctl -b {BACKLOG} > /dev/null"))?;
            shell.check("auditctl --backlog_wait_time 15000 > /dev/null")?;
            result
        })
    };
    loop {
        let auditd = hard(shell, Peer::Auditd, backlog)?;
        if auditd.logged < auditd.made {
            let mut bursts = vec![auditd];
            for peer in [Peer::Laurel, Peer::Holdfast] {
                bursts.push(hard(shell, peer, backlog)?);
            }
            return Ok((bursts, backlog));
        }
        ensure!(backlog > 64, "auditd loses nothing with a backlog of {backlog}");
        backlog /= 4;
    }
}

fn burst(peer: Peer, shell: &mut Shell<'_>, round: u32) -> Result<Burst> {
    let file = format!("/run/alice/burst-{round}");
    let (since, lost) = (peer.size(shell)?, kernel_lost(shell)?);
    let before = (peer.cpu_ns(shell)?, told(peer, shell)?);
    let Done { done, .. } = as_alice(shell, &format!("holdfast-audit-load calls 10 {file}"))?;
    until(shell, "the backlog is read", "auditctl -s | grep -q '^backlog 0$'")?;
    shell.check(REST)?;
    let cpu = peer.cpu_ns(shell)?.saturating_sub(before.0);
    let kernel_lost = kernel_lost(shell)?.saturating_sub(lost);
    let told = told(peer, shell)?.map(|now| {
        let before = before.1.unwrap_or_default();
        let since = |(cause, count): (String, u64)| {
            let count = count - before.get(&cause).copied().unwrap_or(0);
            (count > 0).then_some((cause, count))
        };
        now.into_iter().filter_map(since).collect()
    });
    let logged = peer.count_calls(shell, since, &file)?;
    Ok(Burst { peer, made: done, logged, kernel_lost, told, cpu_seconds: seconds_of(cpu) })
}

/// What the daemon says it lost since its start.
fn told(peer: Peer, shell: &mut Shell<'_>) -> Result<Option<BTreeMap<String, u64>>> {
    if peer != Peer::Holdfast {
        return Ok(None);
    }
    let status: serde_json::Value = shell.json("holdfast audit status --json")?;
    let lost = status.get("lost").cloned().context("the status says nothing of losses")?;
    Ok(Some(serde_json::from_value(lost)?))
}

fn start_full(shell: &mut Shell<'_>) -> Result<Full> {
    let start = "a=$(date +%s%N); systemctl start holdfast-audit; b=$(date +%s%N); \
                 echo $(((b - a) / 1000000))";
    shell.check("systemctl stop holdfast-audit")?;
    let empty_start_ms = shell.number(start)?;
    shell.check("systemctl stop holdfast-audit")?;
    eprintln!("  filling the spool ...");
    let folder = "/var/lib/holdfast/audit";
    let Filled { bytes } = shell.json(&format!("holdfast-audit-load fill {folder}"))?;
    shell.check(&format!("chown -R --reference={folder} {folder}; sync"))?;
    // As after a start of the device: nothing of the log is in memory, and no note of this boot.
    shell.check("rm /run/holdfast/audit/boot.json; echo 3 > /proc/sys/vm/drop_caches")?;
    let start_ms = shell.number(start)?;
    shell.check("sleep 10")?;
    let pss_kib = Peer::Holdfast.pss_kib(shell)?;
    Ok(Full { bytes, start_ms, empty_start_ms, pss_kib })
}

fn seconds_of(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}

#[allow(clippy::cast_precision_loss)] // far below 2^52
fn to_f64(count: u64) -> f64 {
    count as f64
}
