//! What is measured on a booted device, which is gadgets to itself.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use holdfast_qemu::PowerOn;
use serde::{Deserialize, Serialize};

use super::Options;
use crate::bench::shell::Shell;
use crate::device::{self, Making};
use crate::paths::Paths;

const NAME: &str = "bench-usb";
const PROFILE: &str = "bench";
/// Longest wait for a start of the device.
const PATIENCE: Duration = Duration::from_secs(240);
const GADGET: &str = "/usr/lib/holdfast-gadgets/gadget";
/// Dummy controllers on which gadgets come and go at once.
const CONTROLLERS: u64 = 8;
/// Cycles of one command: the console waits no longer.
const AT_ONCE: u64 = 500;
/// The rule of both daemons.
const RULE: &str = "allow id 1d6b:0104";
const OURS: &str = "holdfast-usb";
const PEER: &str = "usbguard";
/// Nobody decides: the kernel lets everything in by itself.
const KERNEL: &str = "the kernel alone";
/// Who is measured when: what the device does besides grows less with its uptime.
const LEGS: [&str; 9] = [OURS, PEER, PEER, OURS, KERNEL, PEER, OURS, OURS, PEER];
/// Of each daemon.
const LEGS_EACH: u64 = 4;
/// Plugs of each leg that do not count.
const WARM_UP: u64 = 10;

/// All of it.
#[derive(Serialize)]
pub struct Guest {
    /// Each daemon.
    pub daemons: Vec<Daemon>,
    /// Plugged in and out.
    pub cycles: Cycles,
}

/// A daemon, or the kernel alone.
#[derive(Serialize)]
pub struct Daemon {
    /// Its name.
    pub name: &'static str,
    /// From the kernel's event that a device is there to the write that lets it in.
    pub written: Option<Latency>,
    /// From the same event to the one that an interface of it is there.
    pub let_in: Latency,
    /// Memory afterwards, KiB of PSS; the larger one of its legs.
    pub pss_kib: Option<u64>,
}

/// Microseconds.
#[derive(Serialize)]
pub struct Latency {
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// All of them, in their order.
    pub waits: Vec<u64>,
}

impl Latency {
    fn of(waits: Vec<u64>) -> Result<Self> {
        let mut sorted = waits.clone();
        sorted.sort_unstable();
        let at = |part: usize| sorted.get(sorted.len() * part / 100).copied();
        let (p50_us, p99_us) = at(50).zip(at(99)).context("nothing was measured")?;
        Ok(Self { p50_us, p99_us, waits })
    }
}

/// Devices that come and go.
#[derive(Default, Serialize, Deserialize)]
pub struct Cycles {
    /// How often one was plugged in.
    pub plugged: u64,
    /// Of those that a rule is for.
    pub good_let_in: u64,
    /// Of those that no rule is for.
    pub evil_found: u64,
    /// Of these.
    pub violations: u64,
    /// Took so long.
    pub seconds: u64,
}

/// Boots a device and measures.
pub fn run(paths: &Paths, options: &Options) -> Result<Guest> {
    let folder = device::folder(paths, NAME)?;
    device::ensure_off(&folder, NAME)?;
    let serial = device::serial_of(NAME);
    let making = Making { profile: PROFILE, serial: &serial, publish: false };
    let ready = device::make(paths, &folder, &making)?;
    let running = ready.device.power_on(PowerOn::default())?;
    running.console().wait_for("holdfast#", PATIENCE)?;
    let mut shell = Shell::new(&running);
    shell.check("systemctl mask --runtime --now holdfast-console holdfast-enroll")?;
    until(&mut shell, "systemctl is-active --quiet holdfast-usb")?;
    prepare(&mut shell)?;

    let daemons = race(&mut shell, options.plugs)?;
    let cycles = cycle(&mut shell, options.cycles)?;
    running.shut_down(Duration::from_secs(180))?;
    Ok(Guest { daemons, cycles })
}

/// Both daemons in turn, and the kernel alone; ours is running before and afterwards.
fn race(shell: &mut Shell<'_>, plugs: u64) -> Result<Vec<Daemon>> {
    let load = |count: u64| format!("holdfast-usb-load latency {count} good0 2> /dev/null");
    let count = plugs.div_ceil(LEGS_EACH);
    let mut found = [OURS, PEER, KERNEL].map(|name| (name, Vec::new(), None));
    for name in LEGS {
        let Some((_, waits, pss)) = found.iter_mut().find(|one| one.0 == name) else { continue };
        eprintln!("  {count} plugs, {name} ...");
        match name {
            OURS => start_ours(shell)?,
            PEER => start_usbguard(shell)?,
            _ => let_the_kernel_decide(shell, true)?,
        }
        shell.check(&load(WARM_UP))?;
        let part: Vec<(Option<u64>, u64)> = shell.json(&load(count))?;
        waits.extend(part);
        if name == KERNEL {
            let_the_kernel_decide(shell, false)?;
        } else {
            *pss = Some(pss_kib(shell, name)?).max(*pss);
        }
    }
    start_ours(shell)?;
    let daemon = |(name, waits, pss_kib): (_, Vec<(Option<u64>, u64)>, _)| {
        let written: Vec<u64> = waits.iter().filter_map(|wait| wait.0).collect();
        let written = if written.is_empty() { None } else { Some(Latency::of(written)?) };
        let let_in = Latency::of(waits.iter().map(|wait| wait.1).collect())?;
        Ok(Daemon { name, written, let_in, pss_kib })
    };
    found.into_iter().map(daemon).collect()
}

fn start_ours(shell: &mut Shell<'_>) -> Result<()> {
    shell.check(&format!("systemctl stop {PEER} 2> /dev/null; systemctl start {OURS}"))?;
    until(shell, "holdfast usb status > /dev/null")
}

/// Both daemons are stopped, and new devices are let in at once, or no longer.
fn let_the_kernel_decide(shell: &mut Shell<'_>, it_does: bool) -> Result<()> {
    shell.check(&format!("systemctl stop {PEER} 2> /dev/null; systemctl stop {OURS}"))?;
    let number = u8::from(it_does);
    let root = "/sys/devices/platform/dummy_hcd.0/usb*/authorized_default";
    shell.check(&format!("for file in {root}; do echo {number} > $file; done"))?;
    Ok(())
}

fn cycle(shell: &mut Shell<'_>, count: u64) -> Result<Cycles> {
    let mut all = Cycles::default();
    while all.plugged < count {
        let load = format!("holdfast-usb-load cycles {AT_ONCE} {CONTROLLERS} 2> /dev/null");
        let part: Cycles = shell.json(&load)?;
        all.plugged += part.plugged;
        all.good_let_in += part.good_let_in;
        all.evil_found += part.evil_found;
        all.violations += part.violations;
        all.seconds += part.seconds;
        eprint!("\r  plugged in {} of {count} ", all.plugged);
    }
    eprintln!();
    Ok(all)
}

/// Gadgets, ports, the rule; and no limit of storms, since this is one.
fn prepare(shell: &mut Shell<'_>) -> Result<()> {
    let limit = "sed 's/^arrivals.*/arrivals = 1000/' /usr/lib/holdfast/usb.toml > /run/usb.toml";
    let folder = "/run/systemd/system/holdfast-usb.service.d";
    let start = "ExecStart=\\nExecStart=/usr/bin/holdfast-usb --config /run/usb.toml\\n";
    shell.check(&format!("{limit}; mkdir -p {folder}"))?;
    shell.check(&format!("printf '[Service]\\n{start}' > {folder}/own.conf"))?;
    shell.check("systemctl daemon-reload; systemctl restart holdfast-usb")?;
    shell.check(&format!("{GADGET} load {CONTROLLERS} > /dev/null"))?;
    for number in 0..CONTROLLERS {
        shell.check(&format!("{GADGET} make good{number} GOOD{number} storage"))?;
        shell.check(&format!("{GADGET} make evil{number} EVIL{number} storage"))?;
        let port = format!("platform/dummy_hcd.{number}/hs/1");
        shell.check(&format!("holdfast usb ports enable {port}"))?;
    }
    shell.check(&format!("holdfast usb rules append '{RULE}'"))?;
    Ok(())
}

/// In the place of ours, with what its own unit gives it as far as it matters here, and at the
/// priority that ours has.
fn start_usbguard(shell: &mut Shell<'_>) -> Result<()> {
    if shell.check(&format!("systemctl is-active --quiet {PEER}")).is_ok() {
        return Ok(());
    }
    shell.check(&format!("systemctl stop {OURS}"))?;
    let settings = "RuleFile=/run/usbguard/rules.conf\\nImplicitPolicyTarget=block\\n\
        PresentDevicePolicy=apply-policy\\nPresentControllerPolicy=keep\\n\
        InsertedDevicePolicy=apply-policy\\nAuthorizedDefault=none\\nDeviceManagerBackend=uevent\\n\
        IPCAllowedUsers=root\\nIPCAccessControlFiles=/run/usbguard/ipc/\\nAuditBackend=FileAudit\\n\
        AuditFilePath=/run/usbguard/audit.log\\n";
    shell.check("mkdir -p -m 700 /run/usbguard/ipc")?;
    shell.check(&format!("printf '{settings}' > /run/usbguard/daemon.conf"))?;
    shell.check(&format!("echo '{RULE}' > /run/usbguard/rules.conf"))?;
    shell.check("chmod 600 /run/usbguard/*.conf")?;
    let nice = shell.check(&format!("systemctl show -P Nice {OURS}"))?;
    let nice = nice.trim();
    let run = format!("systemd-run --quiet --unit={PEER} -p Nice={nice}");
    let start = format!("{run} /usr/sbin/usbguard-daemon -k -c");
    shell.check(&format!("{start} /run/usbguard/daemon.conf"))?;
    shell.check(&format!("sleep 5; systemctl is-active {PEER}"))?;
    Ok(())
}

fn pss_kib(shell: &mut Shell<'_>, unit: &str) -> Result<u64> {
    shell.number(&format!(
        "p=$(systemctl show -P MainPID {unit}); grep ^Pss: /proc/$p/smaps_rollup | tr -dc 0-9; echo"
    ))
}

fn until(shell: &mut Shell<'_>, command: &str) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if shell.check(command).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_secs(2));
    }
    bail!("not after {} seconds: {command}", PATIENCE.as_secs())
}
