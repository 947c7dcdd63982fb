//! The device's side: TPM time to the certificate, memory and processor time of the enroller.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use holdfast_attestation::ek::ek_sha256;
use holdfast_attestation::pcr::{KERNEL_PCR, SITE_PCR, site_measurement};
use holdfast_attestation::tpm::Public;
use holdfast_tpm::swtpm::Swtpm;
use serde::Serialize;

use crate::tpm_bus::{TpmBus, command_name};
use crate::usage::{milliseconds, processor_time, pss_kib};
use crate::world::{KERNEL, World};

/// Making RSA keys takes a random time.
const RUNS: usize = 5;
/// Time in which the started daemon comes to rest.
const REST: Duration = Duration::from_secs(3);
/// Everything is open to everybody on this bus.
const BUS_POLICY: &str = "<policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
    <allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy>";
const IDENTITY_POLICY: &str = "unit_proof = \"pid\"\n[seal]\nrole = \"operator\"\n";

/// One way to sign, over some runs with a new TPM each.
#[derive(Serialize)]
pub struct Figures {
    mode: &'static str,
    runs: Vec<Run>,
}

/// From the enroller's start on a device that was never enrolled.
#[derive(Serialize)]
struct Run {
    tpm_ms: f64,
    tpm_ms_by_command: BTreeMap<String, f64>,
    certificate_ms: f64,
    active_ms: f64,
    pss_kib: u64,
    cpu_ms: f64,
}

impl Figures {
    fn middle(&self, value: impl Fn(&Run) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(value).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    }

    pub fn mode(&self) -> &'static str {
        self.mode
    }

    pub fn tpm_ms(&self) -> f64 {
        self.middle(|run| run.tpm_ms)
    }

    pub fn longest_tpm_ms(&self) -> f64 {
        self.runs.iter().map(|run| run.tpm_ms).fold(0.0, f64::max)
    }

    pub fn certificate_ms(&self) -> f64 {
        self.middle(|run| run.certificate_ms)
    }

    pub fn cpu_ms(&self) -> f64 {
        self.middle(|run| run.cpu_ms)
    }

    pub fn pss_kib(&self) -> u64 {
        self.runs.iter().map(|run| run.pss_kib).max().unwrap_or(0)
    }
}

/// Starts the enroller on new devices.
pub fn measure(world: &World, program: &Path, mode: &'static str) -> Result<Figures> {
    let runs = (0..RUNS).map(|number| {
        Device::make(world, &format!("ENROLLER-{}-{number}", mode.to_uppercase()))?
            .run(world, program, mode)
    });
    Ok(Figures { mode, runs: runs.collect::<Result<_>>()? })
}

struct Device {
    folder: tempfile::TempDir,
    swtpm: Swtpm,
}

impl Device {
    /// A registered device that has booted the release with the site.
    fn make(world: &World, serial: &str) -> Result<Self> {
        let device = Self { folder: tempfile::tempdir()?, swtpm: Swtpm::blank()? };
        {
            let tpm = device.swtpm.open()?;
            tpm.pcr_extend(KERNEL_PCR, &KERNEL)?;
            tpm.pcr_extend(SITE_PCR, &site_measurement(&fs::read(&world.site)?))?;
            let spki = Public::parse(&tpm.ek()?.public)?.to_spki_der()?;
            world.cloud.register(serial, &hex::encode(ek_sha256(&spki)))?;
        }
        fs::create_dir(device.path("credentials"))?;
        fs::write(device.path("credentials/dmi-serial"), serial)?;
        fs::write(device.path("release.toml"), "version = \"0.1.0\"\nbuild_time = 1763800000\n")?;
        fs::write(device.path("identity.toml"), IDENTITY_POLICY)?;
        fs::write(device.path("machine-id"), "7d1c9a3f52b84c0e9a60b1f3d2e4c586\n")?;
        fs::write(device.path("group"), "")?;
        Ok(device)
    }

    fn run(&self, world: &World, program: &Path, mode: &str) -> Result<Run> {
        let message_bus = MessageBus::start(&self.path("bus"))?;
        let tpm_bus = TpmBus::before(&self.swtpm)?;
        let begun = Instant::now();
        let mut enroller = self.start(world, program, mode, &message_bus, &tpm_bus)?;
        enroller.wait_for("enrolled ")?;
        let (certificate, times) = (begun.elapsed(), tpm_bus.times());
        enroller.wait_for("active ")?;
        let active = begun.elapsed();
        thread::sleep(REST);
        let by_command =
            times.iter().map(|(code, time)| (command_name(*code), milliseconds(*time)));
        let pid = enroller.process.id();
        Ok(Run {
            tpm_ms: milliseconds(times.values().sum()),
            tpm_ms_by_command: by_command.collect(),
            certificate_ms: milliseconds(certificate),
            active_ms: milliseconds(active),
            pss_kib: pss_kib(pid)?,
            cpu_ms: milliseconds(processor_time(pid)?),
        })
    }

    fn start(
        &self,
        world: &World,
        program: &Path,
        mode: &str,
        message_bus: &MessageBus,
        tpm_bus: &TpmBus,
    ) -> Result<Enroller> {
        let mut command = Command::new(program);
        for (option, file) in [
            ("--state", "state"),
            ("--release", "release.toml"),
            ("--policy", "identity.toml"),
            ("--groups", "group"),
            ("--journal", "no-journal"),
            ("--machine-id", "machine-id"),
            ("--credentials", "credentials"),
            ("--pcr-signature", "signature.json"),
            ("--pcr-public-key", "pcr.pem"),
        ] {
            command.arg(option).arg(self.path(file));
        }
        command.arg("--site").arg(&world.site).args(["--signature-mode", mode]);
        command.args(["--audit", "journal"]);
        command.args(["--bus", &message_bus.address, "--tcti", &tpm_bus.tcti()]);
        command.env("TSS2_LOG", "all+NONE").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process =
            command.spawn().with_context(|| format!("start {}", program.display()))?;
        let stdout = process.stdout.take().context("the enroller has no output")?;
        Ok(Enroller { process, lines: BufReader::new(stdout).lines() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The daemon; killed when dropped.
struct Enroller {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Enroller {
    fn wait_for(&mut self, milestone: &str) -> Result<()> {
        for line in self.lines.by_ref() {
            let line = line?;
            let Some(event) = line.strip_prefix("holdfast: ") else { continue };
            if event.starts_with(milestone) {
                return Ok(());
            }
            if ["refused ", "waiting ", "faulted "].iter().any(|trouble| event.starts_with(trouble))
            {
                bail!("the enroller says: {event}");
            }
        }
        bail!("the enroller ended before the milestone {milestone}")
    }
}

impl Drop for Enroller {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A message bus of the device's own.
struct MessageBus {
    daemon: Child,
    address: String,
}

impl MessageBus {
    fn start(socket: &Path) -> Result<Self> {
        let configuration = socket.with_extension("conf");
        let listen = socket.display();
        let text = format!(
            "<busconfig><listen>unix:path={listen}</listen><auth>EXTERNAL</auth>{BUS_POLICY}\
             </busconfig>"
        );
        fs::write(&configuration, text)?;
        let mut daemon = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address=1"])
            .arg(format!("--config-file={}", configuration.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start dbus-daemon")?;
        let mut address = String::new();
        let stdout = daemon.stdout.take().context("dbus-daemon has no output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        Ok(Self { daemon, address: address.trim().to_owned() })
    }
}

impl Drop for MessageBus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
