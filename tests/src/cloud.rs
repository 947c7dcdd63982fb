use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use holdfast_qemu::Process;
use serde_json::Value;

use crate::{Ports, Site};

/// The connector's command line on one data folder.
#[derive(Debug, Clone)]
pub struct Client {
    program: PathBuf,
    data: PathBuf,
}

/// A command of the connector that ended with another exit code than 0.
#[derive(Debug)]
pub struct CommandFailed {
    /// The exit code; nothing after a signal.
    pub code: Option<i32>,
    /// The server's stable code, or the command line's own.
    pub reason: String,
    /// For people.
    pub detail: String,
    command: String,
}

impl std::fmt::Display for CommandFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, reason, detail, command } = self;
        let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        write!(f, "`{command}` ended with {code}: {reason}: {detail}")
    }
}

impl std::error::Error for CommandFailed {}

/// A site configuration to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewSite<'a> {
    /// Owner of the devices.
    pub tenant: &'a str,
    /// Where devices find the connector.
    pub ports: Ports,
    /// Private key that signs it.
    pub key: &'a Path,
    /// Public key to which devices wrap their recovery keys.
    pub recovery_key: &'a Path,
    /// Where it is written.
    pub output: &'a Path,
}

impl Client {
    /// Commands of `program` on the server whose data lies in `data`.
    pub fn new(program: &Path, data: &Path) -> Self {
        Self { program: program.to_owned(), data: data.to_owned() }
    }

    /// Folder with the server's data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A command for this server; its arguments are left to the caller.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("HOLDFAST_CLOUD_DATA", &self.data);
        // The user's own settings for another server.
        for variable in ["SERVER", "CA", "API_KEY_FILE"] {
            command.env_remove(format!("HOLDFAST_CLOUD_{variable}"));
        }
        command
    }

    /// Runs a command; its result is what it prints with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let printed = self.run(&[&["--json"], arguments].concat())?;
        serde_json::from_slice(&printed)
            .with_context(|| format!("read what `holdfast-cloud {}` printed", arguments.join(" ")))
    }

    /// Runs a command; its result is what it prints for people.
    pub fn text(&self, arguments: &[&str]) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.run(arguments)?).into_owned())
    }

    fn run(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let output = self.command().args(arguments).output();
        let output = output.with_context(|| format!("start {}", self.program.display()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let error = serde_json::from_str(&said).unwrap_or(Value::Null);
        let text = |field: &str| error["error"][field].as_str().map(str::to_owned);
        Err(CommandFailed {
            code: output.status.code(),
            reason: text("code").unwrap_or_else(|| "failed".to_owned()),
            detail: text("detail").unwrap_or(said),
            command: format!("holdfast-cloud {}", arguments.join(" ")),
        }
        .into())
    }

    /// Makes and signs a site configuration; the server may run or not.
    pub fn new_site(&self, new: NewSite<'_>) -> Result<Site> {
        let path = |path: &Path| path.display().to_string();
        self.json(&[
            "site",
            "new",
            "--tenant",
            new.tenant,
            "--enrol-url",
            &new.ports.enrol_url(),
            "--device-url",
            &new.ports.device_url(),
            "--edge-id-source",
            "dmi-serial",
            "--key",
            &path(new.key),
            "--recovery-key",
            &path(new.recovery_key),
            "--out",
            &path(new.output),
        ])?;
        Site::at(new.output)
    }

    /// Makes an operator's key pair for recovery: the private key is written to `key`, the public
    /// one beside it.
    pub fn new_operator(&self, key: &Path) -> Result<PathBuf> {
        self.json(&["recovery", "new-key", "--out", &key.display().to_string()])?;
        Ok(key.with_extension("pub"))
    }

    /// The recovery keys that the server has for a device, newest first.
    pub fn recovery_keys(&self, device: &str) -> Result<Vec<Value>> {
        let mut list = self.json(&["recovery", "show", device])?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => bail!("`holdfast-cloud recovery show` printed no list"),
        }
    }

    /// Accepts devices that boot the release which `measurement` describes.
    pub fn publish(&self, measurement: &Path) -> Result<Value> {
        self.json(&["release", "publish", &measurement.display().to_string()])
    }

    /// Registers a device.
    pub fn register(&self, edge_id: &str, ek_sha256: &str) -> Result<Value> {
        self.json(&["device", "register", edge_id, "--ek-sha256", ek_sha256])
    }

    /// A device with its certificates, enrolments and events.
    pub fn show(&self, device: &str) -> Result<Value> {
        self.json(&["device", "show", device])
    }

    /// The state of a device.
    pub fn state(&self, device: &str) -> Result<String> {
        let shown = self.show(device)?;
        let state = shown["state"].as_str();
        state.map(str::to_owned).with_context(|| format!("device {device} has no state"))
    }

    /// `suspend`, `resume`, `revoke`, `retire`, `approve` or `forget-firmware` a device.
    pub fn change(&self, verb: &str, device: &str) -> Result<Value> {
        self.json(&["device", verb, device])
    }

    /// Events of a device, newest first.
    pub fn events(&self, edge_id: &str) -> Result<Vec<Value>> {
        let mut list = self.json(&["events", "--device", edge_id])?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => bail!("`holdfast-cloud events` printed no list"),
        }
    }
}

/// A running connector. Dropping it kills the server; [`Cloud::stop`] lets it end in good order.
#[derive(Debug)]
pub struct Cloud {
    client: Client,
    ports: Ports,
    server: Process,
}

/// A busy machine may take long to make the keys of the first start.
const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(30);

impl Cloud {
    /// Starts `program` on `data`, with the log beside the folder, and waits until it answers.
    pub fn start(program: &Path, data: &Path, ports: Ports) -> Result<Self> {
        if let Some(parent) = data.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        let text = |path: &Path| path.display().to_string();
        let mut command = vec![text(program), "serve".into(), "--data".into(), text(data)];
        command.extend(ports.arguments());
        let server = Process::start(command, &[], &data.with_extension("log"))?;
        let mut cloud = Self { client: Client::new(program, data), ports, server };
        cloud.wait_until_it_answers()?;
        Ok(cloud)
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let answer = self.client.json(&["release", "list"]);
            // The answer may have come from another server on the same data folder.
            if self.server.poll().is_some() {
                return Err(self.server.failure().into());
            }
            match answer {
                Ok(_) => return Ok(()),
                Err(_) if begun.elapsed() < START_PATIENCE => {
                    thread::sleep(Duration::from_millis(50));
                }
                Err(error) => {
                    let log = self.log();
                    return Err(error).with_context(|| {
                        format!("the connector does not answer; its log: {}", log.display())
                    });
                }
            }
        }
    }

    /// Where it listens.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.client.data.with_extension("log")
    }

    /// Asks the server to end (SIGTERM) and waits; its data can be served again.
    pub fn stop(mut self) -> Result<Client> {
        self.server.terminate(STOP_PATIENCE);
        match self.server.poll() {
            Some(status) if status.success() => Ok(self.client),
            _ => Err(self.server.failure()).context("the connector did not end in good order"),
        }
    }
}

impl Deref for Cloud {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
