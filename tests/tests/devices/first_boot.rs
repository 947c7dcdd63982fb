//! The first boot of a registered device.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_qemu::{Device, Disk, PowerOn, Running, Usage};
use holdfast_tests::{Bench, Ports, Workshop};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::cloud::{column, devices, list, text};
use crate::support::console::{ensure_shown, wait_active, wait_for, word};
use crate::support::recovery::wait_handed_over;
use crate::support::report::Report;
use crate::support::stage::{DEVICE, Stage};
use crate::support::tools::run;
use crate::support::trial::{Outcome, trial};

/// The Edge ID of the device at all stages.
pub const SERIAL: &str = "HF-E2E-0001";

/// A device that was registered and switched on for the first time, until it was active and
/// switched off. `before.raw` is its disk before, `writes.log` what it wrote.
pub fn stage(workshop: &Workshop) -> Result<Stage> {
    Stage::get(workshop, "first", |folder| boot(workshop, folder))
}

fn boot(workshop: &Workshop, folder: &Path) -> Result<Value> {
    let bench = Bench::fresh(workshop, folder, Ports::any()?)?;
    bench.publish("release")?;
    let device = bench.make_device(DEVICE, "release", SERIAL)?;
    bench.register(&device)?;
    install(&bench, device.disk())?;
    device.disk().duplicate(&folder.join("before.raw"))?;
    let record_writes = Some(folder.join("writes.log"));
    let running = device.power_on(PowerOn { record_writes, ..PowerOn::default() })?;
    wait_for(&running, "holdfast-init: root ")?;
    let writes_at_root = running.usage().disk.writes;
    let active = wait_active(&running)?;
    let writes_at_active = running.usage().disk.writes;
    wait_handed_over(bench.cloud(), SERIAL, |keys| keys.len() == 1)?;
    let transcript = running.console().transcript().display().to_string();
    let (device, usage) = leave(running)?;
    let kernel_image = device.disk().esp()?.only_kernel_image("EFI/Linux")?;
    let shown = bench.cloud().show(SERIAL)?;
    Ok(json!({
        "transcript": transcript,
        "writes_at_root": writes_at_root,
        "writes_at_active": writes_at_active,
        "device_id": active.device_id,
        "offline": active.offline,
        "kernel_image": kernel_image,
        "elapsed_seconds": usage.elapsed.as_secs_f64(),
        "cpu_seconds": usage.cpu.total().as_secs_f64(),
        "cloud": shown,
    }))
}

/// Puts image and site onto an empty disk with the program that is on the stick, as on a board.
fn install(bench: &Bench, disk: &Disk) -> Result<()> {
    let images = bench.workshop().image("release", "..");
    let empty = Disk::blank(disk.path(), disk.size()?)?;
    let printed = run(Command::new(images.join("holdfast-install"))
        .arg("--image")
        .arg(bench.workshop().image("release", "disk.raw"))
        .arg("--site")
        .arg(bench.site().document())
        .args(["--yes", "--json"])
        .arg(empty.path()))?;
    let outcome: Value = serde_json::from_slice(&printed)?;
    ensure!(outcome["written"] == true && outcome["tenant"] == "demo", "{outcome}");
    Ok(())
}

/// Waits until the console shows the state and what the checks found, and presses the power button.
pub fn leave(running: Running) -> Result<(Device, Usage)> {
    Report::wait(&running, "active")?;
    Ok(running.shut_down(Duration::from_secs(180))?)
}

#[test]
fn first_boot_enrols() -> Outcome {
    trial("first_boot_enrols", |trial| {
        let stage = stage(&trial.workshop)?;
        let lines = stage.lines()?;
        let order = [
            "holdfast-init: root ",
            "holdfast: var created",
            "holdfast: site accepted tenant=demo",
            "holdfast: enroller started",
            "holdfast: enrolled ",
            "holdfast: active ",
        ];
        for pattern in order {
            ensure_shown(&lines, pattern)?;
        }
        let device_id = stage.text("device_id")?;
        ensure!(word(ensure_shown(&lines, "holdfast: enrolled ")?, "device_id")? == device_id);
        ensure!(stage.seen()["offline"] == false);
        Report::after(&lines, "active").context("no report of the checks")?.ensure_green()?;

        let bench = stage.bench(trial)?;
        let device = stage.device(&bench, &trial.folder)?;
        let started = ensure_shown(&lines, "holdfast: enroller started")?;
        ensure!(word(started, "edge_id")? == SERIAL);
        ensure!(word(started, "ek_sha256")? == device.ek()?.ek_sha256);

        let shown = bench.cloud().show(SERIAL)?;
        ensure!(text(&shown, "state")? == "active", "{shown}");
        ensure!(text(&shown, "id")? == device_id, "{shown}");
        ensure!(text(&shown, "ek_sha256")? == device.ek()?.ek_sha256, "{shown}");
        ensure!(devices(bench.cloud())?.len() == 1);
        let certificates = list(&shown, "certificates")?;
        ensure!(certificates.len() == 1 && certificates[0]["attested"] == true, "{shown}");
        ensure!(list(&shown, "enrolments")?.len() == 1, "{shown}");
        Ok(())
    })
}

#[test]
fn the_quote_is_of_the_published_release_and_site() -> Outcome {
    trial("the_quote_is_of_the_published_release_and_site", |trial| {
        let stage = stage(&trial.workshop)?;
        let shown = &stage.seen()["cloud"];
        let enrolment = list(shown, "enrolments")?.first().context("no enrolment")?;
        let pcr = |index: u32| -> Result<String> {
            let found = list(enrolment, "pcrs")?.iter().find(|pair| pair[0] == index);
            let value = found.and_then(|pair| pair[1].as_str());
            value
                .map(str::to_owned)
                .with_context(|| format!("PCR {index} was not quoted: {enrolment}"))
        };
        ensure!(list(enrolment, "pcrs")?.len() == 4, "{enrolment}");
        ensure!(pcr(7)? == text(shown, "pcr7")?, "PCR 7 is recorded at the first enrolment");
        ensure!(pcr(7)? != "0".repeat(64), "PCR 7 says that Secure Boot is on with these keys");

        let measurement: Value =
            serde_json::from_slice(&fs::read(trial.workshop.measurement("release"))?)?;
        let published = list(&measurement, "pcr11")?;
        let kernel = pcr(11)?;
        ensure!(published.iter().any(|phase| phase["sha256"] == kernel.as_str()), "{enrolment}");
        ensure!(pcr(12)? == "0".repeat(64), "nothing was added to the command line");

        let site = fs::read(stage.file("site.toml"))?;
        let expected = Sha256::new().chain_update([0; 32]).chain_update(Sha256::digest(&site));
        ensure!(pcr(14)? == hex::encode(expected.finalize()), "the site PCR is of this site.toml");
        ensure!(enrolment["deviation"].is_null(), "{enrolment}");
        ensure!(enrolment["release"].is_string(), "{enrolment}");
        Ok(())
    })
}

#[test]
fn openssl_accepts_the_certificate() -> Outcome {
    trial("openssl_accepts_the_certificate", |trial| {
        let stage = stage(&trial.workshop)?;
        let shown = &stage.seen()["cloud"];
        let data = stage.file("cloud");
        let certificates = column(&data, "select der from certificates")?;
        ensure!(certificates.len() == 1, "one certificate was issued");
        let der = trial.folder.join("device.der");
        let pem = trial.folder.join("device.pem");
        fs::write(&der, hex::decode(&certificates[0])?)?;
        let openssl = |arguments: &[&str], files: &[&Path]| -> Result<String> {
            let printed = run(Command::new("openssl").args(arguments).args(files))?;
            Ok(String::from_utf8_lossy(&printed).into_owned())
        };
        openssl(&["x509", "-inform", "DER", "-out"], &[&pem, Path::new("-in"), &der])?;
        let root = data.join("ca/root.crt").display().to_string();
        let issuing = data.join("ca/issuing.crt").display().to_string();
        let verified = openssl(
            &[
                "verify",
                "-x509_strict",
                "-purpose",
                "sslclient",
                "-CAfile",
                &root,
                "-untrusted",
                &issuing,
            ],
            &[&pem],
        )?;
        ensure!(verified.trim().ends_with(": OK"), "{verified}");

        let shown_text = openssl(&["x509", "-noout", "-text", "-in"], &[&pem])?;
        let device_id = stage.text("device_id")?;
        ensure!(shown_text.contains(device_id), "the certificate names the device: {shown_text}");
        let attested = "2.25.329800735698586629295641978511506172918.4";
        ensure!(shown_text.contains(attested), "the policy is \"attested\": {shown_text}");

        let public = trial.folder.join("device.pub");
        fs::write(&public, openssl(&["x509", "-noout", "-pubkey", "-in"], &[&pem])?)?;
        let spki = run(Command::new("openssl")
            .args(["pkey", "-pubin", "-outform", "DER", "-in"])
            .arg(&public))?;
        let recorded = text(&list(shown, "certificates")?[0], "spki_sha256")?;
        ensure!(
            hex::encode(Sha256::digest(spki)) == recorded,
            "the certificate is of the proven key"
        );
        Ok(())
    })
}

#[test]
fn a_good_boot_ends_the_counting_of_tries() -> Outcome {
    trial("a_good_boot_ends_the_counting_of_tries", |trial| {
        let stage = stage(&trial.workshop)?;
        let name = stage.text("kernel_image")?;
        ensure!(!name.contains('+'), "{name} still counts tries after a good boot");
        Ok(())
    })
}
