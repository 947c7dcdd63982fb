//! What people and programs do on a device is in the cloud's copy of its log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use holdfast_audit_log::checkpoint::AuditKey;
use holdfast_audit_log::export::{Exporter, Selection};
use holdfast_audit_log::frame::Kind;
use holdfast_audit_log::kernel::KernelEvent;
use holdfast_audit_log::verify::Verifier;
use holdfast_audit_log::{Action, Actor, AuditRecord, Source, Text};
use holdfast_qemu::{Line, PowerCutPlan, PowerOn, Rng, Running};
use holdfast_tests::{Bench, Ports};
use serde_json::Value;

use crate::support::console::{read_transcript, wait_active, wait_for};
use crate::support::stage::DEVICE;
use crate::support::tools::{self, inside_tree};
use crate::support::trial::{Outcome, trial};

const SERIAL: &str = "HF-E2E-0020";
/// The user who logs in.
const ALICE: u32 = 1234;
/// Longest wait for records on their way to the cloud.
const UPLOAD: Duration = Duration::from_secs(180);

/// Makes a user who may become root without a password. `/etc` cannot be written to, so that the
/// rule lies in a file system of its own. Nobody logs in on a device, until this removes what says so.
const MAKE_ALICE: &str = r#"rm -f /run/nologin; cd /run/userdb; printf '{"userName":"alice","uid":1234,"gid":1234,"disposition":"regular","homeDirectory":"/run","shell":"/bin/sh"}' > alice.user; ln -sf alice.user 1234.user; printf '{"groupName":"alice","gid":1234}' > alice.group; ln -sf alice.group 1234.group; mount -t tmpfs -o mode=750 tmpfs /etc/sudoers.d; echo 'alice ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/alice; chmod 440 /etc/sudoers.d/alice; cd /"#;

/// Logs alice in, as sshd would, and lets her run this.
fn as_alice(command: &str) -> String {
    format!(
        "systemd-run --quiet --wait --pipe -p User=alice -p PAMName=sshd /bin/sh -c '{command}'"
    )
}

/// A call of the enroller's interface.
fn identity(call: &str) -> String {
    let object = "org.holdfast.Identity1 /org/holdfast/Identity1 org.holdfast.Identity1";
    format!("busctl call {object} {call}")
}

/// Runs a command on the device's console and waits until it is over; its exit code.
fn run(running: &Running, name: &str, command: &str) -> Result<String> {
    // In two parts, so that the line that is typed is not taken for the answer.
    running.console().send_line(&format!("{command}; echo \"step-\"\"{name}: $?\""))?;
    wait_for(running, &format!("step-{name}: "))
}

/// Searches the cloud for records of the device until one fits.
fn search(bench: &Bench, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    let begun = Instant::now();
    let mut seen = Vec::new();
    while begun.elapsed() < UPLOAD {
        seen = records(bench)?;
        if let Some(found) = seen.iter().find(|record| fits(record)) {
            return Ok(found.clone());
        }
        std::thread::sleep(Duration::from_secs(2));
    }
    let summaries: Vec<String> =
        seen.iter().map(|record| format!("{} {}", record["action"], record["summary"])).collect();
    anyhow::bail!("no record of {what} among {}: {summaries:#?}", seen.len())
}

/// Every record of the device in the cloud.
fn records(bench: &Bench) -> Result<Vec<Value>> {
    let arguments = ["device-audit", "search", "--device", SERIAL, "--limit", "100000"];
    let found = bench.cloud().json(&arguments)?;
    found["items"].as_array().cloned().context("the search has no items")
}

/// Whether the record is an event of the kernel with this rule's key, by alice's login.
fn is_of_alice(record: &Value, key: &str) -> bool {
    let users = record["users"].as_array().cloned().unwrap_or_default();
    record["kind"] == "kernel-event"
        && users.contains(&ALICE.into())
        && record["payload"].to_string().contains(key)
}

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
        without_the_daemon(&bench, &running)
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

/// Beyond the end of every log: asking for it gives nothing, and is recorded.
const MARK: u64 = 1 << 62;
/// Longest time under load before the power is cut, milliseconds.
const LOAD: u64 = 4000;

/// Makes one record after the other, and prints the number of each call that was answered: only then
/// is the record durable.
fn load(first: u64) -> String {
    let audit = "org.holdfast.Audit1 /org/holdfast/Audit1 org.holdfast.Audit1";
    format!(
        "i={first}; while :; do busctl call {audit} Export t $(({MARK} + i)) > /dev/null && \
         echo \"answered-\"\"$i.\"; i=$((i + 1)); done"
    )
}

/// Numbers that the generator printed.
fn answered(lines: &[Line]) -> Vec<u64> {
    let number = |line: &Line| {
        let (_, rest) = line.text.split_once("answered-")?;
        rest.split_once('.')?.0.parse().ok()
    };
    lines.iter().filter_map(number).collect()
}

/// The digest in the record of the call with this number.
fn digest_of(number: u64) -> Result<String> {
    let (time, action) = (time::OffsetDateTime::UNIX_EPOCH, Action::new("audit.export")?);
    let record = AuditRecord::new(time, Source::cloud(), Actor::system(), action, Text::default());
    let json = record.with_arguments(&[&(MARK + number).to_be_bytes()]).to_json()?;
    let json: Value = serde_json::from_str(&json)?;
    Ok(json["arguments_sha256"].as_str().context("no digest")?.to_owned())
}

#[test]
fn three_power_cuts_under_load_lose_no_record_that_was_answered_and_are_no_fork() -> Outcome {
    trial("three_power_cuts_under_load_lose_no_record_that_was_answered_and_are_no_fork", |trial| {
        let bench = Bench::fresh(&trial.workshop, &trial.folder, Ports::any()?)?;
        bench.publish("test")?;
        let mut device = bench.make_device(DEVICE, "test", SERIAL)?;
        bench.register(&device)?;
        let mut seeds = Rng::new(PowerCutPlan::seed()?);
        let mut made = Vec::new();
        for cut in 0..3u64 {
            let running = device.power_on(PowerOn::default())?;
            wait_active(&running)?;
            // A number of its own for each run: what was tried and not answered may be there too.
            let first = cut * 1_000_000;
            running.console().send_line(&load(first))?;
            wait_for(&running, &format!("answered-{first}."))?;
            std::thread::sleep(Duration::from_millis(seeds.next() % LOAD));
            let transcript = running.console().transcript().to_owned();
            let report;
            (device, report) = running.power_cut(&mut seeds)?;
            let numbers = answered(&read_transcript(&transcript)?);
            println!("{report}; {} records were answered", numbers.len());
            ensure!(!numbers.is_empty(), "the load generator made nothing");
            made.extend(numbers);
        }
        let running = device.power_on(PowerOn::default())?;
        wait_active(&running)?;
        let audit = "org.holdfast.Audit1 /org/holdfast/Audit1 org.holdfast.Audit1";
        run(&running, "flush", &format!("busctl call {audit} Flush"))?;
        search(&bench, "the last start", |record| record["action"] == "audit.flush")?;

        let mut found = BTreeMap::<String, usize>::new();
        for record in records(&bench)? {
            if let Some(digest) = record["payload"]["arguments_sha256"].as_str() {
                *found.entry(digest.to_owned()).or_default() += 1;
            }
        }
        for number in made {
            let times = found.get(&digest_of(number)?).copied().unwrap_or(0);
            ensure!(times == 1, "record {number} was answered, and is there {times} times");
        }
        let events = bench.cloud().events(SERIAL)?;
        let alarm = events.iter().find(|event| event.to_string().contains("audit-"));
        ensure!(alarm.is_none(), "an ordinary power cut is an alarm: {alarm:?}");
        Ok(())
    })
}
