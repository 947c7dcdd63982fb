//! A state volume that the TPM does not open any more, and the operator's way in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_qemu::{Device, PowerOn, Running};
use holdfast_tests::{Bench, Workshop};
use serde_json::{Value, json};

use crate::first_boot::{self, SERIAL, leave};
use crate::support::cloud::{list, text};
use crate::support::console::{
    BOOT, ensure_absent, ensure_shown, wait_active, wait_closed, wait_for_any,
};
use crate::support::foreign_volume::{LABEL, Pretence, luks_for_tpm_of, put_in_place};
use crate::support::recovery::wait_handed_over;
use crate::support::stage::Stage;
use crate::support::tools::{inside_tree, output};
use crate::support::trial::{Outcome, trial};

const PROMPT: &str = "recovery key: ";
/// In the form of a recovery key, and no device's.
const WRONG: &str = "cccccccc-cccccccc-cccccccc-cccccccc-cccccccc-cccccccc-cccccccc-cccccccc";
/// LUKS2 headers and key slots.
const HEADER: usize = 16 << 20;

/// The device of the first boot after a certificate was added to its firmware's keys: it is locked,
/// hears nonsense, a wrong key and the right one, starts again, and is switched off.
fn stage(workshop: &Workshop) -> Result<Stage> {
    Stage::get(workshop, "recovered", |folder| boot(workshop, folder))
}

fn boot(workshop: &Workshop, folder: &Path) -> Result<Value> {
    let first = first_boot::stage(workshop)?;
    let bench = first.bench_in(workshop, folder)?;
    let mut device = first.device(&bench, folder)?;
    let before = bench.cloud().recovery_keys(SERIAL)?;
    let old_key = open(&bench)?;
    let changed =
        workshop.firmware_variables_with("release", &[workshop.platform_certificate()])?;
    device.replace_firmware_variables(&changed)?;

    let running = device.power_on(PowerOn::default())?;
    wait_closed(&running, "var-does-not-open")?;
    wait_for_any(&running, &["type the recovery key here"])?;
    console_wait(&running, PROMPT)?;
    // Nothing that a shell, a kernel or a terminal would obey.
    running.console().send(b"\x03\x04\x1a\x1c\x1b[A\x00")?;
    running.console().send_line("reboot")?;
    console_wait(&running, "recovery refused: not a recovery key")?;
    console_wait(&running, PROMPT)?;
    running.console().send_line(WRONG)?;
    console_wait(&running, "recovery refused: this is not the recovery key of this device")?;
    console_wait(&running, PROMPT)?;
    running.console().send_line(&old_key)?;
    for step in ["1/4 unlocked", "2/4 sealed again", "3/4 new recovery key", "4/4 audit record"] {
        console_wait(&running, &format!("holdfast: recovery {step}"))?;
    }
    console_wait(&running, "holdfast: recovery complete; restarting")?;

    let active = wait_active(&running)?;
    // The old key goes when the device has heard that the cloud has the new one.
    let is_new = |keys: &[Value]| keys.len() == 1 && keys[0]["sha256"] != before[0]["sha256"];
    let after = wait_handed_over(bench.cloud(), SERIAL, is_new)?;
    let transcript = running.console().transcript().display().to_string();
    let (device, _) = leave(running)?;
    Ok(json!({
        "transcript": transcript,
        "device_id": active.device_id,
        "offline": active.offline,
        "old_key": old_key,
        "new_key": open(&bench)?,
        "old_opens": opens(&device, &old_key, folder)?,
        "new_opens": opens(&device, &open(&bench)?, folder)?,
        "before": before,
        "after": after,
        "cloud": bench.cloud().show(SERIAL)?,
        "audit": bench.cloud().json(&["audit", "--limit", "100"])?,
    }))
}

fn console_wait(running: &Running, pattern: &str) -> Result<()> {
    running.console().wait_for(pattern, BOOT)?;
    // The prompt comes after what is typed meanwhile was thrown away.
    std::thread::sleep(Duration::from_millis(200));
    Ok(())
}

/// What the operator does on his own machine.
fn open(bench: &Bench) -> Result<String> {
    let key = bench.operator_key().display().to_string();
    let opened = bench.cloud().json(&["recovery", "open", SERIAL, "--key", &key])?;
    ensure!(text(&opened, "edge_id")? == SERIAL, "the key is of another device");
    text(&opened, "recovery_key")
}

/// Whether cryptsetup takes a key for the device's state volume.
fn opens(device: &Device, key: &str, folder: &Path) -> Result<bool> {
    let folder = folder.canonicalize()?;
    let (header, key_file): (PathBuf, PathBuf) = (folder.join("header"), folder.join("key"));
    let offset = device.disk().partition(LABEL)?.offset;
    let mut content = device.disk().read(offset, HEADER)?;
    // cryptsetup wants room for data, too.
    content.resize(2 * HEADER, 0);
    fs::write(&header, content)?;
    fs::write(&key_file, key)?;
    let mut command: Command = inside_tree("cryptsetup");
    command
        .args([
            "open",
            "--test-passphrase",
            "--disable-external-tokens",
            "--disable-locks",
            "--key-file",
        ])
        .args([&key_file, &header]);
    let done = output(&mut command)?;
    fs::remove_file(&header)?;
    fs::remove_file(&key_file)?;
    match done.status.code() {
        Some(0) => Ok(true),
        // No key available with this passphrase (cryptsetup(8)).
        Some(2) => Ok(false),
        _ => anyhow::bail!("cryptsetup: {}", String::from_utf8_lossy(&done.stderr)),
    }
}

#[test]
fn a_locked_device_is_recovered_with_the_operators_key() -> Outcome {
    trial("a_locked_device_is_recovered_with_the_operators_key", |trial| {
        let stage = stage(&trial.workshop)?;
        let lines = stage.lines()?;
        let order = [
            "holdfast: closed reason=var-does-not-open",
            "recovery refused: not a recovery key",
            "recovery refused: this is not the recovery key of this device",
            "holdfast: recovery 1/4 unlocked",
            "holdfast: recovery 2/4 sealed again",
            "holdfast: recovery 3/4 new recovery key",
            "holdfast: recovery 4/4 audit record",
            "holdfast: var opened",
            "holdfast: active ",
        ];
        let at = |pattern: &str| lines.iter().position(|line| line.text.contains(pattern));
        let places: Vec<usize> =
            order.iter().map(|p| at(p).with_context(|| (*p).to_owned())).collect::<Result<_>>()?;
        ensure!(places.is_sorted(), "{order:?} came at {places:?}");
        // Until the right key came, nothing but the two refusals.
        let unlocked = &lines[..places[3]];
        ensure!(unlocked.iter().filter(|l| l.text.contains("recovery refused")).count() == 2);
        for never in ["holdfast: active", "login:", "sh-5"] {
            ensure_absent(unlocked, never)?;
        }
        ensure_shown(unlocked, &format!("edge_id={SERIAL}"))?;

        let first = first_boot::stage(&trial.workshop)?;
        ensure!(stage.text("device_id")? == first.text("device_id")?, "it is another device");
        ensure!(text(&stage.seen()["cloud"], "state")? == "active", "{}", stage.seen()["cloud"]);
        Ok(())
    })
}

#[test]
fn the_recovery_key_is_never_shown() -> Outcome {
    trial("the_recovery_key_is_never_shown", |trial| {
        let stage = stage(&trial.workshop)?;
        let lines = stage.lines()?;
        for key in [stage.text("old_key")?, stage.text("new_key")?, WRONG] {
            for group in key.split('-') {
                ensure_absent(&lines, group)?;
            }
        }
        ensure_shown(&lines, "recovery key: ****")?;
        Ok(())
    })
}

#[test]
fn after_a_recovery_the_old_key_opens_nothing_and_the_new_one_is_in_the_cloud() -> Outcome {
    trial("after_a_recovery_the_old_key_opens_nothing_and_the_new_one_is_in_the_cloud", |trial| {
        let stage = stage(&trial.workshop)?;
        let seen = stage.seen();
        ensure!(stage.text("old_key")? != stage.text("new_key")?);
        ensure!(seen["old_opens"] == false, "the old key still opens the volume");
        ensure!(seen["new_opens"] == true, "the new key does not open the volume");
        let (before, after) = (&list(seen, "before")?[0], &list(seen, "after")?[0]);
        ensure!(before["occasion"] == "first" && after["occasion"] == "recovery", "{after}");
        ensure!(before["luks_uuid"] == after["luks_uuid"], "the volume is another one");
        let actions: Vec<&Value> =
            list(&seen["audit"], "items")?.iter().map(|item| &item["record"]["action"]).collect();
        // The device: the new key beside the old, then the new one alone. The operator: before, and twice after.
        for (action, count) in [("recovery.store", 3), ("recovery.export", 3)] {
            let found = actions.iter().filter(|found| **found == action).count();
            ensure!(found == count, "{found} records of {action}: {actions:?}");
        }
        Ok(())
    })
}

#[test]
fn a_foreign_volume_is_not_opened_by_its_makers_recovery_key() -> Outcome {
    trial("a_foreign_volume_is_not_opened_by_its_makers_recovery_key", |trial| {
        let first = first_boot::stage(&trial.workshop)?;
        let bench = first.bench(trial)?;
        let device = first.device(&bench, &trial.folder)?;
        // Sealed to another boot, so that this one is asked for a key.
        let other_boot = "5a".repeat(32);
        let folder = trial.folder.join("foreign");
        let foreign =
            luks_for_tpm_of(&trial.workshop, &device, &other_boot, Pretence::Marker, &folder)?;
        put_in_place(&device, &foreign)?;
        let running = device.power_on(PowerOn::default())?;
        wait_closed(&running, "var-does-not-open")?;
        let (_, line) = wait_for_any(&running, &["no recovery here: ", PROMPT])?;
        ensure!(line.contains("is not the one that this device made"), "{line}");
        running.console().send_line(WRONG)?;
        wait_for_any(&running, &["holdfast: closed reason="])?;
        ensure_absent(&running.console().lines(), "recovery refused")?;
        ensure_absent(&running.console().lines(), PROMPT)?;
        Ok(())
    })
}
