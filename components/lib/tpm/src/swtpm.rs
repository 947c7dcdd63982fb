//! Software TPMs for tests: any number at once, each with a state folder of its own.
//!
//! Needs `swtpm`, and for certificates `swtpm_setup` and `swtpm_localca`, on the search path.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Tpm, TpmError};

/// Below the range that Linux hands out for outgoing connections.
const PORTS: Range<u16> = 20_000..32_000;
const START_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// A problem with the software TPM, as opposed to a problem of the code under test.
#[derive(Debug, thiserror::Error)]
pub enum SwtpmError {
    /// A program could not be started, or a file not be used.
    #[error("{what}: {source}")]
    Io {
        /// Program or path.
        what: String,
        /// What the system reported.
        source: io::Error,
    },
    /// A program failed.
    #[error("{what} failed: {output}")]
    Failed {
        /// Program.
        what: &'static str,
        /// What it printed.
        output: String,
    },
    /// The TPM answered with an error.
    #[error(transparent)]
    Tpm(#[from] TpmError),
}

/// A maker of TPMs: the private CA that signs their endorsement key certificates.
#[derive(Debug)]
pub struct Manufacturer {
    folder: TempDir,
}

impl Manufacturer {
    /// Founds a maker with a CA of its own, made when its first TPM is made.
    pub fn found() -> Result<Self, SwtpmError> {
        let folder = TempDir::with_prefix("holdfast-tpm-maker-").map_err(at("temporary folder"))?;
        let maker = Self { folder };
        let statedir = maker.path("ca");
        fs::create_dir(&statedir).map_err(at(&statedir))?;
        let show = |name: &str| maker.path("ca").join(name).display().to_string();
        maker.write(
            "localca.conf",
            &format!(
                "statedir = {}\nsigningkey = {}\nissuercert = {}\ncertserial = {}\n",
                statedir.display(),
                show("signkey.pem"),
                show("issuercert.pem"),
                show("certserial"),
            ),
        )?;
        maker.write(
            "localca.options",
            "--platform-manufacturer Holdfast\n--platform-version 1\n--platform-model test\n",
        )?;
        maker.write(
            "setup.conf",
            &format!(
                "create_certs_tool = swtpm_localca\ncreate_certs_tool_config = {}\n\
                 create_certs_tool_options = {}\nactive_pcr_banks = sha256\n",
                maker.path("localca.conf").display(),
                maker.path("localca.options").display(),
            ),
        )?;
        Ok(maker)
    }

    /// Makes and starts a TPM with endorsement keys and their certificates.
    pub fn make(&self) -> Result<Swtpm, SwtpmError> {
        let state = TempDir::with_prefix("holdfast-tpm-").map_err(at("temporary folder"))?;
        let mut setup = Command::new("swtpm_setup");
        setup.args(["--tpm2", "--create-ek-cert", "--lock-nvram", "--pcr-banks", "sha256"]);
        setup.arg("--overwrite").arg("--tpmstate").arg(state.path());
        setup.arg("--config").arg(self.path("setup.conf"));
        run("swtpm_setup", &mut setup)?;
        Swtpm::start(State::Owned(state))
    }

    /// The CA certificates, PEM: the one that signs first, then its root.
    pub fn ca_certificates_pem(&self) -> Result<Vec<String>, SwtpmError> {
        ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]
            .map(|name| self.path("ca").join(name))
            .into_iter()
            .map(|path| fs::read_to_string(&path).map_err(at(&path)))
            .collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), SwtpmError> {
        let path = self.path(name);
        fs::write(&path, text).map_err(at(&path))
    }
}

/// A running software TPM; stopped when this is dropped.
#[derive(Debug)]
pub struct Swtpm {
    // Dropped in this order: the program lets go before its ports and its state do.
    process: Process,
    ports: Ports,
    state: State,
}

impl Swtpm {
    /// Makes and starts a TPM with endorsement keys and certificates of a maker of its own.
    pub fn manufacture() -> Result<Self, SwtpmError> {
        Manufacturer::found()?.make()
    }

    /// Starts a new TPM without certificates, which is much faster to make.
    pub fn blank() -> Result<Self, SwtpmError> {
        let folder = TempDir::with_prefix("holdfast-tpm-").map_err(at("temporary folder"))?;
        Self::start(State::Owned(folder))
    }

    /// Starts a TPM whose state is kept in `folder`, and made there if it is empty.
    pub fn with_state(folder: &Path) -> Result<Self, SwtpmError> {
        Self::start(State::Kept(folder.to_owned()))
    }

    /// The connection string for [`Tpm::open`] and for tpm2-tools (`TPM2TOOLS_TCTI`).
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.ports.first)
    }

    /// Connects. The TPM serves one connection at a time; others wait.
    pub fn open(&self) -> Result<Tpm, SwtpmError> {
        Ok(Tpm::open(&self.tcti())?)
    }

    /// The folder with the TPM's state.
    pub fn state_folder(&self) -> &Path {
        self.state.path()
    }

    /// The RSA endorsement key's certificate, if the TPM was made with one.
    pub fn ek_certificate_der(&self) -> Result<Option<Vec<u8>>, SwtpmError> {
        Ok(self.open()?.ek()?.certificates.into_iter().next())
    }

    /// Cuts the power without warning and switches on again: PCRs are reset, open connections
    /// break. The connection string stays.
    pub fn power_cycle(&mut self) -> Result<(), SwtpmError> {
        self.process.stop();
        self.process = start(self.state.path(), &self.ports)?;
        Ok(())
    }

    fn start(state: State) -> Result<Self, SwtpmError> {
        let ports = Ports::reserve()?;
        let process = start(state.path(), &ports)?;
        Ok(Self { process, ports, state })
    }
}

#[derive(Debug)]
enum State {
    Owned(TempDir),
    Kept(PathBuf),
}

impl State {
    fn path(&self) -> &Path {
        match self {
            Self::Owned(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}

#[derive(Debug)]
struct Process(Child);

impl Process {
    fn complaint(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }

    fn stop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts with the control channel on the port after the first, where the TSS looks for it.
fn start(state: &Path, ports: &Ports) -> Result<Process, SwtpmError> {
    let control = ports.first + 1;
    let mut command = Command::new("swtpm");
    command.args(["socket", "--tpm2", "--tpmstate"]).arg(format!("dir={}", state.display()));
    command.arg("--server").arg(format!("type=tcp,port={}", ports.first));
    command.arg("--ctrl").arg(format!("type=tcp,port={control}"));
    command.args(["--flags", "startup-clear,not-need-init"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = Process(command.spawn().map_err(at("swtpm"))?);

    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        if process.0.try_wait().map_err(at("swtpm"))?.is_some() {
            return Err(SwtpmError::Failed { what: "swtpm", output: process.complaint() });
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, control)).is_ok() && listens(ports.first) {
            return Ok(process);
        }
        thread::sleep(POLL);
    }
    Err(SwtpmError::Failed { what: "swtpm", output: format!("not ready on port {control}") })
}

/// Whether somebody listens on a port. A connection to see would be the one that the TPM serves.
fn listens(port: u16) -> bool {
    // proc_pid_net(5): local address and state, in hexadecimal; 0A is LISTEN.
    let local = format!(":{port:04X}");
    fs::read_to_string("/proc/net/tcp").unwrap_or_default().lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|address| address.ends_with(&local))
            && fields.nth(1) == Some("0A")
    })
}

/// Two neighbouring ports that no other test has, for as long as this lives.
#[derive(Debug)]
struct Ports {
    first: u16,
    _lock: File,
}

impl Ports {
    fn reserve() -> Result<Self, SwtpmError> {
        let folder = std::env::temp_dir().join("holdfast-swtpm-ports");
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        // Start somewhere else in each process, so that few meet.
        let start = usize::try_from(std::process::id()).unwrap_or_default().wrapping_mul(7919);
        for first in PORTS.step_by(2).cycle().skip(start % PORTS.len()).take(PORTS.len() / 2) {
            let path = folder.join(first.to_string());
            let lock = File::create(&path).map_err(at(&path))?;
            if lock.try_lock().is_ok() && [first, first + 1].into_iter().all(is_free) {
                return Ok(Self { first, _lock: lock });
            }
        }
        Err(SwtpmError::Failed { what: "swtpm", output: format!("no port free in {PORTS:?}") })
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn run(what: &'static str, command: &mut Command) -> Result<(), SwtpmError> {
    let done = command.stdin(Stdio::null()).output().map_err(at(what))?;
    if done.status.success() {
        return Ok(());
    }
    let output = [done.stdout, done.stderr].concat();
    Err(SwtpmError::Failed { what, output: String::from_utf8_lossy(&output).into_owned() })
}

fn at(what: impl AsRef<Path>) -> impl FnOnce(io::Error) -> SwtpmError {
    let what = what.as_ref().display().to_string();
    move |source| SwtpmError::Io { what, source }
}
