//! What is plugged in from outside, by QEMU's monitor.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use holdfast_qemu::{PowerOn, Running, UsbDevice};
use holdfast_tests::{Bench, Ports};
use serde_json::Value;

use super::{
    DISK, KEYBOARD, has_traffic, is_there, never_used, recorded, stays_out, without_traffic,
};
use crate::support::console::wait_active;
use crate::support::shell::{ask, must, run, until};
use crate::support::stage::DEVICE;
use crate::support::trial::{Outcome, trial};

const SERIAL: &str = "HF-E2E-0050";
/// Busses of the emulated controller: 1 is USB 2, on which keyboards and hubs come, 2 is USB 3, on
/// which memory sticks come.
const STICK: &str = "2-1";

fn stick(folder: &Path, serial: &str) -> Result<UsbDevice> {
    let image = folder.join(format!("{serial}.raw"));
    File::create(&image)?.set_len(8 << 20)?;
    Ok(UsbDevice::Storage { image, serial: serial.to_owned() })
}

#[test]
fn nothing_on_usb_is_usable_but_by_port_and_rule() -> Outcome {
    trial("nothing_on_usb_is_usable_but_by_port_and_rule", |trial| {
        let bench = Bench::fresh(&trial.workshop, &trial.folder, Ports::any()?)?;
        bench.publish("test")?;
        let device = bench.make_device(DEVICE, "test", SERIAL)?;
        bench.register(&device)?;
        let running = device.power_on(PowerOn::default())?;
        // Long before any of our programs runs.
        let early = stick(&trial.folder, "EARLY")?;
        running.plug_usb_at(&early, "early", "1")?;
        running.plug_usb_at(&UsbDevice::Keyboard, "keyboard", "2")?;
        wait_active(&running)?;

        ports_that_nobody_named_are_off(&running)?;
        what_is_plugged_into_them_never_appears(&running, &trial.folder)?;
        a_stick_is_let_in_by_an_operator_and_goes_with_his_word(&running)?;
        the_same_serial_number_at_another_port_is_not_let_in(&running, &early)?;
        a_keyboard_is_let_in_by_a_rule(&running)?;
        a_hub_is_one_question_and_what_is_plugged_into_it_another(&running, &trial.folder)?;
        nothing_is_let_in_while_the_daemon_is_dead(&running, &trial.folder)?;
        bad_rules_leave_the_last_good_ones_in_force(&running)?;
        usbguards_names_work(&running)?;
        the_daemon_is_confined(&running)?;
        what_the_cloud_says_is_in_force(&bench, &running, &trial.folder)?;
        in_the_cloud(&bench, &running)
    })
}

fn ports_that_nobody_named_are_off(running: &Running) -> Result<()> {
    let there = ask(running, "there", "ls /sys/bus/usb/devices")?;
    ensure!(there == "usb1 usb2", "{there}");
    let status = ask(running, "status", "holdfast usb status --json")?;
    let status: Value = serde_json::from_str(&status).context(status)?;
    ensure!(status["healthy"] == true && status["mode"] == "enforce", "{status}");
    ensure!(status["ports"]["open"] == 0 && status["ports"]["shut"] == 8, "{status}");
    Ok(())
}

/// Since the kernel writes a line for every device that it finds, its log says whether one ever
/// appeared.
fn what_is_plugged_into_them_never_appears(running: &Running, folder: &Path) -> Result<()> {
    let count = "dmesg | grep -c 'New USB device found'";
    let before = ask(running, "before", count)?;
    let never = stick(folder, "NEVER")?;
    for port in ["3", "4"] {
        running.plug_usb_at(&never, "never", port)?;
        must(running, "a-while", "sleep 3")?;
        never_used(running, "never")?;
        running.unplug_usb(&never, "never")?;
    }
    let after = ask(running, "after", count)?;
    ensure!(before == after, "a device on a port that is off was found: {before}, then {after}");
    Ok(())
}

fn a_stick_is_let_in_by_an_operator_and_goes_with_his_word(running: &Running) -> Result<()> {
    must(running, "port", "holdfast usb ports enable usb2-port1")?;
    stays_out(running, "stick", STICK, DISK)?;
    never_used(running, "early")?;
    must(running, "allow", &format!("holdfast usb allow {STICK} --for 1h"))?;
    until(running, "disk", DISK)?;
    has_traffic(running, "early")?;
    must(running, "block", &format!("holdfast usb block {STICK}"))?;
    until(running, "no-disk", &format!("! {DISK}"))?;
    must(running, "off", "holdfast usb ports disable usb2-port1")?;
    until(running, "gone", &format!("! {}", is_there(STICK)))?;
    without_traffic(running, "early", || {
        must(running, "on", "holdfast usb ports enable usb2-port1")?;
        stays_out(running, "again", STICK, DISK)
    })
}

fn the_same_serial_number_at_another_port_is_not_let_in(
    running: &Running,
    stick: &UsbDevice,
) -> Result<()> {
    let rule = format!("allow serial \\\"EARLY\\\" via-port \\\"{STICK}\\\"");
    must(running, "rule", &format!("holdfast usb rules append \"{rule}\""))?;
    until(running, "ruled", DISK)?;
    must(running, "port3", "holdfast usb ports enable usb2-port3")?;
    running.unplug_usb(stick, "early")?;
    until(running, "unplugged", &format!("! {}", is_there(STICK)))?;
    running.plug_usb_at(stick, "early", "3")?;
    stays_out(running, "elsewhere", "2-3", DISK)?;
    never_used(running, "early")?;
    running.unplug_usb(stick, "early")?;
    running.plug_usb_at(stick, "early", "1")?;
    until(running, "back", DISK)?;
    running.unplug_usb(stick, "early")?;
    Ok(())
}

fn a_keyboard_is_let_in_by_a_rule(running: &Running) -> Result<()> {
    must(running, "port2", "holdfast usb ports enable usb1-port2")?;
    stays_out(running, "keyboard", "1-2", KEYBOARD)?;
    let explained = ask(running, "explain", "holdfast usb explain 1-2 --json")?;
    let explained: Value = serde_json::from_str(&explained).context(explained)?;
    let mismatch = explained["rules"][0]["mismatches"][0].as_str().unwrap_or_default();
    ensure!(mismatch.starts_with("serial: the rule wants \"EARLY\""), "{explained}");
    must(running, "keyboards", "holdfast usb rules append 'allow with-interface 03:01:01'")?;
    until(running, "typing", KEYBOARD)?;
    must(running, "no-keyboards", "holdfast usb rules remove 2")?;
    until(running, "not-typing", &format!("! {KEYBOARD}"))
}

fn a_hub_is_one_question_and_what_is_plugged_into_it_another(
    running: &Running,
    folder: &Path,
) -> Result<()> {
    let child = stick(folder, "CHILD")?;
    running.plug_usb_at(&UsbDevice::Hub, "hub", "4")?;
    running.plug_usb_at(&child, "child", "4.1")?;
    must(running, "port4", "holdfast usb ports enable usb1-port4")?;
    stays_out(running, "hub", "1-4", DISK)?;
    must(running, "hub-in", "holdfast usb allow 1-4")?;
    let port = "holdfast usb ports --json | grep -q 1-4-port1";
    until(running, "hub-ports", port)?;
    let done = run(running, "hub-child", &format!("sleep 2; ! {}", is_there("1-4.1")))?;
    ensure!(done.ends_with(": 0"), "the ports of a hub are on before anybody named them");
    must(running, "hub-port", "holdfast usb ports enable 1-4-port1")?;
    stays_out(running, "child", "1-4.1", DISK)?;
    never_used(running, "child")?;
    must(running, "child-in", "holdfast usb allow 1-4.1")?;
    until(running, "child-disk", DISK)?;
    has_traffic(running, "child")?;
    must(running, "hub-out", "holdfast usb block 1-4")?;
    until(running, "child-gone", &format!("! {} && ! {DISK}", is_there("1-4.1")))?;
    running.unplug_usb(&child, "child")?;
    running.unplug_usb(&UsbDevice::Hub, "hub")?;
    let gone = format!("! {} && ! holdfast usb list --json | grep -q '\"1-4\"'", is_there("1-4"));
    until(running, "hub-gone", &gone)
}

fn nothing_is_let_in_while_the_daemon_is_dead(running: &Running, folder: &Path) -> Result<()> {
    must(running, "any", "holdfast usb rules append 'allow serial \"LATE\"'")?;
    // Killed, and held down as long as the stick is plugged in.
    let held = "systemctl kill -s KILL holdfast-usb; systemctl stop holdfast-usb";
    must(running, "killed", held)?;
    let late = stick(folder, "LATE")?;
    running.plug_usb_at(&late, "late", "1")?;
    until(running, "late-there", &is_there(STICK))?;
    let done = run(running, "late-out", &format!("sleep 3; ! {DISK}"))?;
    ensure!(done.ends_with(": 0"), "a stick is usable without the daemon");
    never_used(running, "late")?;
    must(running, "started", "systemctl start holdfast-usb")?;
    until(running, "late-disk", DISK)?;
    has_traffic(running, "late")?;
    // Killed in the middle: what is plugged in meanwhile is judged by the next one.
    must(running, "killed-2", "systemctl kill -s KILL holdfast-usb")?;
    running.unplug_usb(&late, "late")?;
    let other = stick(folder, "OTHER")?;
    running.plug_usb_at(&other, "other", "1")?;
    until(running, "other-there", &is_there(STICK))?;
    until(running, "back-again", "holdfast usb status > /dev/null")?;
    stays_out(running, "other", STICK, DISK)?;
    never_used(running, "other")
}

fn bad_rules_leave_the_last_good_ones_in_force(running: &Running) -> Result<()> {
    let file = "/var/lib/holdfast/usb/rules.conf";
    must(running, "bad", &format!("printf 'allow\\nallow seriall \"X\"\\n' > {file}"))?;
    must(running, "reload", "systemctl reload holdfast-usb")?;
    let status = ask(running, "bad-status", "sleep 1; holdfast usb status --json")?;
    let status: Value = serde_json::from_str(&status).context(status)?;
    let error = status["rules"]["error"].as_str().unwrap_or_default();
    let place = format!("{file}: line 2, column 7: unknown attribute");
    ensure!(error.starts_with(&place) && status["healthy"] == false, "{status}");
    ensure!(status["rules"]["count"] == 2, "{status}");
    stays_out(running, "bad", STICK, DISK)?;
    never_used(running, "other")
}

fn usbguards_names_work(running: &Running) -> Result<()> {
    let busctl = "busctl --json=short call org.usbguard1 /org/usbguard1";
    let devices = format!("{busctl}/Devices org.usbguard.Devices1 listDevices s match");
    let devices = ask(running, "devices", &devices)?;
    let devices: Value = serde_json::from_str(&devices).context(devices)?;
    let mut listed = devices["data"][0].as_array().context("no list")?.iter();
    let other = "block id 46f4:0001 serial \"OTHER\"";
    let is_other = |one: &&Value| one[1].as_str().is_some_and(|rule| rule.starts_with(other));
    let number = &listed.find(is_other).with_context(|| format!("{devices}"))?[0];
    let apply =
        format!("{busctl}/Devices org.usbguard.Devices1 applyDevicePolicy uub {number} 0 false");
    must(running, "apply", &apply)?;
    until(running, "applied", DISK)?;
    let rules = format!("{busctl}/Policy org.usbguard.Policy1 listRules s ''");
    let rules = ask(running, "rules", &rules)?;
    ensure!(rules.contains("allow serial \\\"EARLY\\\" via-port \\\"2-1\\\""), "{rules}");
    Ok(())
}

fn the_daemon_is_confined(running: &Running) -> Result<()> {
    let status = "/proc/$(systemctl show -P MainPID holdfast-usb)/status";
    let facts =
        ask(running, "confined", &format!("grep -E '^(CapEff|Uid|NoNewPrivs|Seccomp):' {status}"))?;
    let facts: Vec<_> = facts.split_whitespace().collect();
    let facts = facts.join(" ");
    // CAP_DAC_OVERRIDE is bit 1 (capability(7)).
    ensure!(facts.contains("CapEff: 0000000000000002"), "{facts}");
    ensure!(facts.contains("NoNewPrivs: 1 Seccomp: 2") && !facts.contains("Uid: 0"), "{facts}");
    Ok(())
}

/// The enroller asks at its start. Bad rules of the device are in the way of nothing.
fn what_the_cloud_says_is_in_force(bench: &Bench, running: &Running, folder: &Path) -> Result<()> {
    let write = |name: &str, text: &str| -> Result<String> {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let bad = write("bad.conf", "allow\nallow seriall \"X\"\n")?;
    let set = ["usb", "policy", "set", "--device", SERIAL];
    let refused = bench.cloud().text(&[&set[..], &["--rules", &bad]].concat());
    let refused = format!("{:#}", refused.err().context("bad rules were taken")?);
    ensure!(refused.contains("line 2, column 7: unknown attribute"), "{refused}");
    let rules = write("rules.conf", "# ours\nallow serial \"OTHER\" label \"cloud\"\n")?;
    let ports = write("ports.conf", "used */ss/1\n")?;
    let refused = bench.cloud().text(&[&set[..], &["--ports", &ports]].concat());
    ensure!(refused.is_err(), "a bad port list was taken");
    bench.cloud().text(&[&set[..], &["--rules", &rules]].concat())?;
    must(running, "ask-again", "systemctl restart holdfast-enroll")?;
    until(running, "told", "holdfast usb rules | grep -q 'label \"cloud\"'")?;
    let by_rule = "holdfast usb list --json | grep -q 'rule 1 (label'";
    must(
        running,
        "forget",
        &format!("holdfast usb block {STICK}; systemctl restart holdfast-usb"),
    )?;
    until(running, "by-the-cloud", by_rule)?;
    until(running, "cloud-disk", DISK)?;
    let status = ask(running, "good-status", "holdfast usb status --json")?;
    ensure!(status.contains("\"healthy\":true"), "{status}");

    let listed = |record: &Value| record["action"] == "usb.policy-apply";
    recorded(bench, running, SERIAL, "a policy", listed)?;
    let inventory = bench.cloud().text(&["usb", "list", SERIAL])?;
    println!("{inventory}");
    let line = inventory.lines().find(|line| line.starts_with(STICK)).context(inventory.clone())?;
    ensure!(line.contains("allow") && line.contains("OTHER"), "{inventory}");
    Ok(())
}

fn in_the_cloud(bench: &Bench, running: &Running) -> Result<()> {
    let target = |record: &Value| record["payload"]["target"].to_string();
    let action = |record: &Value, action: &str| record["action"] == action;
    let bad = |record: &Value| {
        action(record, "usb.rules-load") && record["payload"]["outcome"] == "failed"
    };
    let records = recorded(bench, running, SERIAL, "the bad rules", bad)?;
    let has = |what: &str, fits: &dyn Fn(&Value) -> bool| {
        ensure!(records.iter().any(fits), "no record of {what}");
        Ok(())
    };
    let bad = records.iter().find(|record| bad(record)).context("no record")?;
    let reason = bad["payload"]["reason"].to_string();
    ensure!(reason.contains("rules.conf: line 2, column 7"), "{bad:#}");
    has("a stick that is blocked", &|record| {
        action(record, "usb.block")
            && record["payload"]["decision"] == "denied"
            && target(record).starts_with("\"by implicit: 2-1 (pci0000:00/")
            && target(record).contains("serial \\\"EARLY\\\"")
    })?;
    has("a stick that a rule let in", &|record| {
        action(record, "usb.allow") && target(record).starts_with("\"by rule 1: 2-1 (")
    })?;
    has("a stick that a person let in", &|record| {
        action(record, "usb.allow") && target(record).starts_with("\"by operator: 2-1 (")
    })?;
    for made in ["usb.decide", "usb.port-enable", "usb.port-disable", "usb.rule-append"] {
        has(made, &|record| action(record, made) && record["payload"]["actor"]["uid"] == 0)?;
    }
    Ok(())
}
