//! What QEMU cannot plug in: the device is a gadget to itself, by the kernel's dummy controllers. A
//! gadget knows itself whether its host uses it, and the kernel's gadget side counts the bytes that its
//! endpoints exchange.

use anyhow::{Context, Result, ensure};
use holdfast_qemu::{PowerOn, Running};
use holdfast_tests::{Bench, Ports};
use serde_json::Value;

use super::{DISK, is_there, recorded};
use crate::support::console::wait_active;
use crate::support::shell::{ask, must, run, until};
use crate::support::stage::DEVICE;
use crate::support::trial::{Outcome, Trial, trial};

const SERIAL: &str = "HF-E2E-0051";
const GADGET: &str = "/usr/lib/holdfast-gadgets/gadget";
/// Dummy controllers, each with a port.
const CONTROLLERS: u32 = 4;
/// The input device that a keyboard of a gadget becomes.
const TYPES: &str = "grep -q 'Name=.*Gadget' /proc/bus/input/devices";

fn gadget(verb: &str) -> String {
    format!("{GADGET} {verb}")
}

fn is_used() -> String {
    format!("[ \"$({GADGET} state)\" = configured ]")
}

/// Bytes of a keyboard's report. What is configured may give its controller one without that anybody
/// asks for it: the controller has a buffer.
const REPORT: u64 = 8;

/// Bytes that gadgets have exchanged with the device since it started: drives, and all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Traffic {
    drives: u64,
    others: u64,
}

impl Traffic {
    fn read(running: &Running, step: &str) -> Result<Self> {
        let of = |kind: &str| -> Result<u64> {
            let step = format!("{step}-{kind}");
            let bytes = ask(running, &step, &gadget(&format!("traffic {kind}")))?;
            bytes.parse().context(bytes)
        };
        Ok(Self { drives: of("storage")?, others: of("other")? })
    }
}

#[test]
fn gadgets_that_change_and_race_are_never_usable_against_the_rules() -> Outcome {
    trial("gadgets_that_change_and_race_are_never_usable_against_the_rules", |trial| {
        let (bench, running) = boot(trial)?;
        a_port_that_nobody_named_finds_no_gadget(&running)?;
        a_drive_that_types_is_let_in_without_its_keyboard(&running)?;
        another_identity_with_the_same_serial_number_stays_out(&running)?;
        a_storm_switches_the_port_off(&running, &bench)?;
        get_ready_to_race(&running)?;
        a_race_of_good_and_evil_is_never_won_by_evil(&running)
    })
}

#[test]
#[ignore = "one of the long matrices: the test before races for a minute"]
fn five_minutes_of_good_and_evil_are_never_won_by_evil() -> Outcome {
    trial("five_minutes_of_good_and_evil_are_never_won_by_evil", |trial| {
        let (_bench, running) = boot(trial)?;
        get_ready_to_race(&running)?;
        (0..5).try_for_each(|_| a_race_of_good_and_evil_is_never_won_by_evil(&running))
    })
}

fn boot(trial: &Trial) -> Result<(Bench, Running)> {
    let bench = Bench::fresh(&trial.workshop, &trial.folder, Ports::any()?)?;
    bench.publish("test")?;
    let device = bench.make_device(DEVICE, "test", SERIAL)?;
    bench.register(&device)?;
    let running = device.power_on(PowerOn::default())?;
    wait_active(&running)?;
    must(&running, "load", &gadget(&format!("load {CONTROLLERS}")))?;
    until(&running, "controller", &is_there("usb3"))?;
    until(&running, "known", "holdfast usb ports --json | grep -q usb3-port1")?;
    Ok((bench, running))
}

fn a_port_that_nobody_named_finds_no_gadget(running: &Running) -> Result<()> {
    must(running, "make", &gadget("make both BOTH storage keyboard"))?;
    must(running, "plug", &gadget("plug both"))?;
    let types = gadget("type both");
    let out = format!("{types}; ! {} && ! {}", is_there("3-1"), is_used());
    let done = run(running, "out", &out)?;
    ensure!(done.ends_with(": 0"), "a gadget on a port that is off was found");
    must(running, "port", "holdfast usb ports enable usb3-port1")?;
    until(running, "there", &is_there("3-1"))?;
    let out = format!("{types}; ! {} && ! {DISK} && ! {TYPES}", is_used());
    let done = run(running, "blocked", &out)?;
    ensure!(done.ends_with(": 0"), "a gadget is usable without a rule");
    let traffic = Traffic::read(running, "none")?;
    ensure!(traffic == Traffic { drives: 0, others: 0 }, "{traffic:?} without a rule");
    Ok(())
}

fn a_drive_that_types_is_let_in_without_its_keyboard(running: &Running) -> Result<()> {
    let rule = "allow serial \"BOTH\" interface-policy block { allow 08:*:* }";
    must(running, "rule", &format!("holdfast usb rules append '{rule}'"))?;
    until(running, "drive", DISK)?;
    let types = gadget("type both");
    let out = format!("{types}; {} && ! {TYPES}", is_used());
    let done = run(running, "no-keys", &out)?;
    ensure!(done.ends_with(": 0"), "a keyboard came with the drive");
    let traffic = Traffic::read(running, "drive")?;
    ensure!(traffic.drives > 0, "{traffic:?} with the drive");
    ensure!(traffic.others <= REPORT, "{traffic:?} with the drive alone");
    // Without the limit it types: the gadget is a real one.
    must(running, "whole", "holdfast usb allow 3-1")?;
    until(running, "keys", TYPES)?;
    must(running, "typing", &types)?;
    let traffic = Traffic::read(running, "whole")?;
    ensure!(traffic.others > 3 * REPORT, "{traffic:?} with the keyboard");
    must(running, "again", "holdfast usb rules remove 1")?;
    must(running, "unplug", &gadget("unplug both"))?;
    until(running, "gone", &format!("! {DISK} && ! {TYPES}"))?;
    must(running, "remove", &gadget("remove both"))
}

fn another_identity_with_the_same_serial_number_stays_out(running: &Running) -> Result<()> {
    must(running, "make-drive", &gadget("make swap SWAP storage"))?;
    must(running, "swap-plug", &gadget("plug swap"))?;
    until(running, "swap-there", &is_there("3-1"))?;
    must(running, "swap-allow", "holdfast usb allow 3-1 --permanent")?;
    until(running, "swap-disk", DISK)?;
    must(running, "swap-out", &gadget("unplug swap"))?;
    until(running, "swap-gone", &format!("! {DISK}"))?;
    let before = Traffic::read(running, "swap-before")?;
    let plug_as = |kind: &str| format!("{GADGET} be swap SWAP {kind}; {GADGET} plug swap");
    must(running, "swap", &plug_as("keyboard"))?;
    until(running, "swapped", &is_there("3-1"))?;
    let out = format!("{}; ! {} && ! {TYPES}", gadget("type swap"), is_used());
    let done = run(running, "swap-no-keys", &out)?;
    ensure!(done.ends_with(": 0"), "what let a drive in lets a keyboard in");
    let after = Traffic::read(running, "swap-after")?;
    ensure!(after == before, "{before:?}, and with the keyboard {after:?}");
    must(running, "swap-back", &format!("{GADGET} unplug swap; {}", plug_as("storage")))?;
    until(running, "swap-disk-again", DISK)?;
    let after = Traffic::read(running, "swap-end")?;
    ensure!(after.drives > before.drives, "{before:?}, and with the drive {after:?}");
    must(running, "swap-unplug", &gadget("unplug swap"))
}

/// The daemon with another limit of devices that may come on a port within ten seconds.
fn limit_storms(running: &Running, arrivals: u32) -> Result<()> {
    let config = "/run/usb.toml";
    let limit =
        format!("sed 's/^arrivals.*/arrivals = {arrivals}/' /usr/lib/holdfast/usb.toml > {config}");
    let folder = "/run/systemd/system/holdfast-usb.service.d";
    let start = format!("ExecStart=\\nExecStart=/usr/bin/holdfast-usb --config {config}\\n");
    let own = format!("mkdir -p {folder}; printf '[Service]\\n{start}' > {folder}/own.conf");
    must(running, "limit", &format!("{limit}; {own}"))?;
    must(running, "limited", "systemctl daemon-reload; systemctl restart holdfast-usb")
}

fn a_storm_switches_the_port_off(running: &Running, bench: &Bench) -> Result<()> {
    limit_storms(running, 5)?;
    must(running, "storm", &gadget("storm 15 0.5 swap"))?;
    let ports = ask(running, "storm-ports", "holdfast usb ports --json")?;
    let ports: Value = serde_json::from_str(&ports).context(ports)?;
    let mut ports = ports.as_array().context("no list")?.iter();
    let port = ports.find(|port| port["sysfs"] == "usb3-port1").context("no port")?;
    ensure!(port["enabled"] == false && port["state"] == "used", "{port}");
    must(running, "swap-remove", &gadget("remove swap"))?;
    recorded(bench, running, SERIAL, "a storm", |record| record["action"] == "usb.storm").map(drop)
}

/// A drive and a keyboard of the same serial number for each controller, and a rule for the drives.
/// These are used as soon as they are in, for they are plugged in for a second at most.
fn get_ready_to_race(running: &Running) -> Result<()> {
    limit_storms(running, 1000)?;
    for number in 0..CONTROLLERS {
        must(running, "good", &gadget(&format!("make good{number} RACE storage")))?;
        must(running, "evil", &gadget(&format!("make evil{number} RACE keyboard")))?;
        let port = format!("holdfast usb ports enable platform/dummy_hcd.{number}/hs/1");
        must(running, "race-port", &port)?;
    }
    let rule = "allow serial \"RACE\" with-interface equals { 08:06:50 }";
    must(running, "race-rule", &format!("holdfast usb rules append '{rule}'"))?;
    let now = "echo 0 > /sys/module/usb_storage/parameters/delay_use";
    must(running, "no-delay", &format!("modprobe usb-storage; {now}"))
}

/// For a minute. What the kernel let in it says in events, whoever decided; what was used the gadgets
/// count, and the kernel's log names input devices.
fn a_race_of_good_and_evil_is_never_won_by_evil(running: &Running) -> Result<()> {
    let before = Traffic::read(running, "race-before")?;
    let race = format!("nice -n -20 holdfast-usb-load race 60 {CONTROLLERS}");
    let told = ask(running, "race", &race)?;
    let after = Traffic::read(running, "race-after")?;
    println!("{told}: {before:?}, then {after:?}");
    let counts: Value = serde_json::from_str(&told).context(told.clone())?;
    let count = |what: &str| counts[what].as_u64().with_context(|| told.clone());
    ensure!(count("violations")? == 0, "evil was let in: {told}");
    ensure!(after.others == before.others, "evil typed: {before:?}, then {after:?}");
    let typed = "journalctl -k -b --no-pager | grep -c 'input: .*Gadget evil'";
    let typed = ask(running, "typed", typed)?;
    ensure!(typed == "0", "evil was used {typed} times");
    ensure!(count("evil_found")? > 10, "evil was hardly ever found: {told}");
    ensure!(count("good_let_in")? > 10, "good was hardly ever let in: {told}");
    ensure!(after.drives > before.drives, "good was never used: {before:?}, then {after:?}");
    // The daemon is as well as before.
    must(running, "after-plug", &gadget("plug good0"))?;
    until(running, "after-disk", DISK)?;
    must(running, "after-unplug", &gadget("unplug good0"))
}
