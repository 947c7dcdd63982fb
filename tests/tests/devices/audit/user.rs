//! What people and programs do on a device is in the cloud's copy of its log.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use holdfast_audit_log::checkpoint::AuditKey;
use holdfast_audit_log::export::{Exporter, Selection};
use holdfast_audit_log::frame::Kind;
use holdfast_audit_log::kernel::KernelEvent;
use holdfast_audit_log::verify::Verifier;
use holdfast_qemu::{PowerOn, Running};
use holdfast_tests::{Bench, Ports};

use super::{
    ALICE, MAKE_ALICE, SERIAL, as_alice, halt, identity, is_of_alice, loss, records, run, search,
};
use crate::support::console::wait_active;
use crate::support::stage::DEVICE;
use crate::support::tools::{self, inside_tree};
use crate::support::trial::{Outcome, trial};

#[test]
fn what_a_user_does_is_in_the_cloud_under_the_login_uid() -> Outcome {
    trial("what_a_user_does_is_in_the_cloud_under_the_login_uid", |trial| {
        let bench = Bench::fresh(&trial.workshop, &trial.folder, Ports::any()?)?;
        bench.publish("test")?;
        let device = bench.make_device(DEVICE, "test", SERIAL)?;
        bench.register(&device)?;
        let running = device.power_on(PowerOn::default())?;
        wait_active(&running)?;
        run(&running, "alice", MAKE_ALICE)?;
        run(&running, "id", &as_alice("/usr/bin/id"))?;
        run(&running, "edit", &as_alice("sudo -n touch /run/userdb/edited"))?;
        run(&running, "module", &as_alice("sudo -n modprobe uas"))?;
        run(&running, "time", &as_alice("sudo -n date -s \"@$(( $(date +%s) + 5 ))\""))?;
        let seal = identity("Seal say note 3 1 2 3");
        let done = run(&running, "seal", &as_alice(&format!("sudo -n {seal} > /dev/null")))?;
        ensure!(done.ends_with(": 0"), "sealing failed: {done}");
        let digest = " 7".repeat(32);
        let sign = identity(&format!("Sign ssay audit ecdsa-p256-sha256 32{digest}"));
        let refused = run(&running, "sign", &as_alice(&format!("sudo -n {sign}")))?;
        ensure!(!refused.ends_with(": 0"), "whoever is no unit signs: {refused}");
        let audit = "org.holdfast.Audit1 /org/holdfast/Audit1 org.holdfast.Audit1";
        run(&running, "flush", &format!("busctl call {audit} Flush"))?;
        run(&running, "status", "holdfast audit status")?;
        run(&running, "tail", "holdfast audit tail -n 5")?;
        let verified = run(&running, "verify", "holdfast audit verify")?;
        ensure!(verified.ends_with(": 0"), "the log is not what it was: {verified}");

        search(&bench, "alice's command", |record| {
            is_of_alice(record, "hf-exec") && record["summary"].to_string().contains("id")
        })?;
        for key in ["hf-identity", "hf-modules", "hf-time"] {
            search(&bench, key, |record| is_of_alice(record, key))?;
        }
        search(&bench, "the clock's step", |record| record["kind"] == "clock")?;
        let sealed = search(&bench, "an accepted call", |record| {
            record["action"] == "identity.seal" && record["payload"]["decision"] == "allowed"
        })?;
        let denied = search(&bench, "a refused call", |record| {
            record["action"] == "identity.sign" && record["payload"]["decision"] == "denied"
        })?;
        for record in [sealed, denied] {
            let actor = &record["payload"]["actor"];
            ensure!(actor["uid"] == 0 && actor["login_uid"] == ALICE, "{record:#}");
        }
        let boot = search(&bench, "the boot", |record| record["kind"] == "boot")?;
        ensure!(boot["payload"]["firmware"] != "", "{boot:#}");
        search(&bench, "the enrolment", |record| record["action"] == "identity.enrol")?;
        search(&bench, "a checkpoint", |record| record["kind"] == "checkpoint")?;
        others_agree(&bench, &trial.folder)?;
        without_the_daemon(&bench, &running)?;
        loss::what_the_kernel_loses_is_told(&bench, &running)?;
        loss::a_reader_that_stands_still_loses_nothing_silently(&bench, &running)?;
        halt::a_device_that_must_not_go_on_without_a_log_powers_off(running)
    })
}

/// The cloud's copy, whole: verified with the TPM's key, and read by the tools of the Linux audit
/// system, which count the same events.
fn others_agree(bench: &Bench, folder: &Path) -> Result<()> {
    let whole = folder.join("exported");
    let out = whole.display().to_string();
    bench.cloud().text(&["device-audit", "export", SERIAL, "--out", &out])?;
    let key = AuditKey::from_pem(&fs::read_to_string(whole.join("key.pem"))?)?;
    let mut verifier = Verifier::new(key, None);
    let mut exporter = Exporter::new(Selection::default(), None);
    let (mut text, mut events, mut of_alice) = (Vec::new(), 0, 0);
    let mut segments: Vec<_> = fs::read_dir(whole.join("segments"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    segments.sort();
    for path in segments {
        let place = path.display().to_string();
        verifier.segment_with(&place, &fs::read(&path)?, |decoded, _| {
            exporter.record(&decoded.frame, &mut text);
            let event = KernelEvent::parse(decoded.frame.payload).ok();
            let event = event.filter(|_| decoded.frame.kind == Kind::KernelEvent);
            let is_execution = |event: &KernelEvent<'_>| event.keys().contains(&b"hf-exec".into());
            if let Some(event) = event.filter(is_execution) {
                events += 1;
                of_alice += usize::from(event.login_uid() == Some(ALICE));
            }
        });
    }
    let report = verifier.finish(&[]).report;
    ensure!(report.is_good() && report.signed_size > Some(0), "{report:#?}");
    ensure!(events > 10 && of_alice > 10, "{events} programs, {of_alice} of alice");

    let log = folder.join("audit.log");
    fs::write(&log, &text)?;
    let search = |arguments: &[&str]| -> Result<String> {
        let mut command = inside_tree("ausearch");
        let found = tools::run(command.arg("-if").arg(&log).arg("--raw").args(arguments))?;
        Ok(String::from_utf8(found)?)
    };
    let count = |text: &str, kind: &str| text.matches(&format!("type={kind} ")).count();
    let alice = ALICE.to_string();
    let (all, hers) = (search(&["-k", "hf-exec"])?, search(&["-k", "hf-exec", "-ul", &alice])?);
    let found = (count(&all, "SYSCALL"), count(&hers, "SYSCALL"));
    ensure!(found == (events, of_alice), "ausearch finds {found:?}, not {events}, {of_alice}");
    let mut command = inside_tree("aureport");
    let keys = tools::run(command.arg("-if").arg(&log).args(["-k", "--summary"]))?;
    let keys = String::from_utf8(keys)?;
    let counted = keys.lines().find_map(|line| line.strip_suffix("hf-exec"));
    let counted: usize = counted.with_context(|| keys.clone())?.trim().parse()?;
    // It counts the loading of the rules as well.
    let expected = events + count(&all, "CONFIG_CHANGE");
    ensure!(counted == expected, "aureport counts {counted}, not {expected}: {keys}");
    Ok(())
}

/// While the audit daemon is down, calls that change something are refused, and the kernel keeps
/// what happens until it is back. One that is killed comes back by itself.
fn without_the_daemon(bench: &Bench, running: &Running) -> Result<()> {
    run(running, "stop", "systemctl stop holdfast-audit")?;
    let seal = identity("Seal say down 3 1 2 3");
    let refused = run(running, "down", &format!("{seal} 2>&1 | grep -c 'refused, since'"))?;
    ensure!(refused.ends_with(": 0"), "a call without its record: {refused}");
    run(running, "meanwhile", &as_alice("/usr/bin/env meanwhile=1 /usr/bin/true"))?;
    run(running, "start", "systemctl start holdfast-audit")?;
    let done = run(running, "again", &format!("{seal} > /dev/null"))?;
    ensure!(done.ends_with(": 0"), "the call is refused with its record: {done}");
    // Who stops it in order loses nothing; a loss is told after two seconds.
    let lost = run(running, "lost", "sleep 4; holdfast audit tail -n 1000 | grep LOST")?;
    ensure!(lost.ends_with(": 1"), "a stop loses records");
    run(running, "kill", "systemctl kill --signal=KILL holdfast-audit; sleep 5")?;
    let verified = run(running, "after", "holdfast audit verify")?;
    ensure!(verified.ends_with(": 0"), "the log is not what it was: {verified}");
    run(running, "end", &as_alice("/usr/bin/env end=1 /usr/bin/true"))?;

    for mark in ["meanwhile=1", "end=1"] {
        search(bench, mark, |record| {
            is_of_alice(record, "hf-exec") && record["summary"].to_string().contains(mark)
        })?;
    }
    let all = records(bench)?;
    let boots = all.iter().filter(|record| record["kind"] == "boot").count();
    ensure!(boots == 1, "one start of the device is recorded {boots} times");
    let logs: BTreeSet<_> = all.iter().map(|record| record["log"].to_string()).collect();
    ensure!(logs.len() == 1, "the device has {logs:?}");
    // What the killed daemon had read and not yet written is lost, and told.
    let mut losses = all.iter().filter(|record| record["kind"] == "loss");
    let stray = losses.find(|loss| loss["payload"]["cause"] != "serial-gap");
    ensure!(stray.is_none(), "{stray:#?}");
    Ok(())
}
