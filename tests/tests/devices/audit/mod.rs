//! The audit log of booted devices, as the cloud has it.

mod cuts;
mod halt;
mod loss;
mod user;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use holdfast_tests::Bench;
use serde_json::Value;

use crate::support::shell::run;

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
