//! What QEMU cannot plug in: the device is a gadget to itself, by the kernel's dummy controller. A
//! gadget knows itself whether its host uses it.

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
/// The input device that a keyboard of a gadget becomes.
const TYPES: &str = "grep -q 'Name=.*Gadget' /proc/bus/input/devices";

fn gadget(verb: &str) -> String {
    format!("{GADGET} {verb}")
}

fn is_used() -> String {
    format!("[ \"$({GADGET} state)\" = configured ]")
}

#[test]
fn gadgets_that_change_and_race_are_never_usable_against_the_rules() -> Outcome {
    trial("gadgets_that_change_and_race_are_never_usable_against_the_rules", |trial| {
        let (bench, running) = boot(trial)?;
        a_port_that_nobody_named_finds_no_gadget(&running)?;
        a_drive_that_types_is_let_in_without_its_keyboard(&running)?;
        another_identity_with_the_same_serial_number_stays_out(&running)?;
        a_storm_switches_the_port_off(&running, &bench)?;
        a_race_of_good_and_evil_is_never_won_by_evil(&running, 60)
    })
}

#[test]
#[ignore = "one of the long matrices: the test before races for a minute"]
fn five_minutes_of_good_and_evil_are_never_won_by_evil() -> Outcome {
    trial("five_minutes_of_good_and_evil_are_never_won_by_evil", |trial| {
        let (_bench, running) = boot(trial)?;
        must(&running, "port", "holdfast usb ports enable usb3-port1")?;
        must(&running, "rule", "holdfast usb rules append 'allow serial \"SWAP\"'")?;
        must(&running, "make-drive", &gadget("make swap SWAP storage"))?;
        must(&running, "evil", &gadget("make evil EVIL keyboard"))?;
        a_race_of_good_and_evil_is_never_won_by_evil(&running, 300)
    })
}

fn boot(trial: &Trial) -> Result<(Bench, Running)> {
    let bench = Bench::fresh(&trial.workshop, &trial.folder, Ports::any()?)?;
    bench.publish("test")?;
    let device = bench.make_device(DEVICE, "test", SERIAL)?;
    bench.register(&device)?;
    let running = device.power_on(PowerOn::default())?;
    wait_active(&running)?;
    must(&running, "load", &gadget("load"))?;
    until(&running, "controller", &is_there("usb3"))?;
    until(&running, "known", "holdfast usb ports --json | grep -q usb3-port1")?;
    Ok((bench, running))
}

fn a_port_that_nobody_named_finds_no_gadget(running: &Running) -> Result<()> {
    must(running, "make", &gadget("make both BOTH storage keyboard"))?;
    must(running, "plug", &gadget("plug both"))?;
    let out = format!("sleep 3; ! {} && ! {}", is_there("3-1"), is_used());
    let done = run(running, "out", &out)?;
    ensure!(done.ends_with(": 0"), "a gadget on a port that is off was found");
    must(running, "port", "holdfast usb ports enable usb3-port1")?;
    until(running, "there", &is_there("3-1"))?;
    let out = format!("sleep 3; ! {} && ! {DISK} && ! {TYPES}", is_used());
    let done = run(running, "blocked", &out)?;
    ensure!(done.ends_with(": 0"), "a gadget is usable without a rule");
    Ok(())
}

fn a_drive_that_types_is_let_in_without_its_keyboard(running: &Running) -> Result<()> {
    let rule = "allow serial \"BOTH\" interface-policy block { allow 08:*:* }";
    must(running, "rule", &format!("holdfast usb rules append '{rule}'"))?;
    until(running, "drive", DISK)?;
    let out = format!("sleep 3; {} && ! {TYPES}", is_used());
    let done = run(running, "no-keys", &out)?;
    ensure!(done.ends_with(": 0"), "a keyboard came with the drive");
    // Without the limit it types: the gadget is a real one.
    must(running, "whole", "holdfast usb allow 3-1")?;
    until(running, "keys", TYPES)?;
    must(running, "again", "holdfast usb rules remove 1")?;
    must(running, "unplug", &gadget("unplug both"))?;
    until(running, "gone", &format!("! {DISK} && ! {TYPES}"))
}

fn another_identity_with_the_same_serial_number_stays_out(running: &Running) -> Result<()> {
    must(running, "make-drive", &gadget("make swap SWAP storage"))?;
    must(running, "swap-plug", &gadget("plug swap"))?;
    until(running, "swap-there", &is_there("3-1"))?;
    must(running, "swap-allow", "holdfast usb allow 3-1 --permanent")?;
    until(running, "swap-disk", DISK)?;
    let swap = format!("{GADGET} unplug swap; {GADGET} be swap SWAP keyboard; {GADGET} plug swap");
    must(running, "swap", &swap)?;
    until(running, "swapped", &is_there("3-1"))?;
    let out = format!("sleep 3; ! {} && ! {TYPES}", is_used());
    let done = run(running, "swap-out", &out)?;
    ensure!(done.ends_with(": 0"), "what let a drive in lets a keyboard in");
    let back = format!("{GADGET} unplug swap; {GADGET} be swap SWAP storage; {GADGET} plug swap");
    must(running, "swap-back", &back)?;
    until(running, "swap-disk-again", DISK)?;
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
    must(running, "evil", &gadget("make evil EVIL keyboard"))?;
    must(running, "storm", &gadget("race 10 0.5 swap evil"))?;
    let ports = ask(running, "storm-ports", "holdfast usb ports --json")?;
    let ports: Value = serde_json::from_str(&ports).context(ports)?;
    let mut ports = ports.as_array().context("no list")?.iter();
    let port = ports.find(|port| port["sysfs"] == "usb3-port1").context("no port")?;
    ensure!(port["enabled"] == false && port["state"] == "used", "{port}");
    recorded(bench, running, SERIAL, "a storm", |record| record["action"] == "usb.storm").map(drop)
}

/// The drive is let in, the keyboard is not. At ten plugs a second most are gone before the kernel
/// knows them; at two each is asked what it is. The kernel's log says which it found, and whether one
/// became an input device.
fn a_race_of_good_and_evil_is_never_won_by_evil(running: &Running, seconds: u32) -> Result<()> {
    limit_storms(running, 1000)?;
    let count = |what: &str| format!("journalctl -k -b --no-pager | grep -c '{what}'");
    let number = |step: &str, what: &str| -> Result<u32> {
        let found = ask(running, step, &count(what))?;
        found.parse().context(found)
    };
    let before = number("found-before", "SerialNumber: EVIL")?;
    let fast = ask(running, "fast", &gadget(&format!("race {seconds} 0.05 swap evil")))?;
    let slow = ask(running, "slow", &gadget(&format!("race {} 0.5 swap evil", seconds / 2)))?;
    let found = number("found", "SerialNumber: EVIL")? - before;
    let good = number("good", "Direct-Access.*File-Stor Gadget")?;
    let typed = number("typed", "input: .*Gadget evil")?;
    println!("{fast} plugs fast, {slow} slow: {found} of evil found, {good} of good used");
    ensure!(found > 10, "evil was hardly ever found: {found}");
    ensure!(typed == 0, "evil was used {typed} times of {found}");
    // The daemon is as well as before.
    must(running, "after-plug", &gadget("plug swap"))?;
    until(running, "after-disk", DISK)?;
    must(running, "after-unplug", &gadget("unplug swap"))
}
