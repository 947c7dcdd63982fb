use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use der::{Decode, Encode, SliceReader};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;

use crate::process::{Process, run};
use crate::{Error, Result, Toolchain};

/// A certificate authority for the endorsement keys of software TPMs, in a folder of its own. It is
/// made with the first TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCa {
    folder: PathBuf,
}

impl LocalCa {
    /// The authority in `folder`, which is made if it is not there.
    pub fn at(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        Ok(Self { folder: absolute(folder)? })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The certificates (PEM) that vouch for the endorsement keys: root, then issuer. They exist
    /// once a TPM has been made.
    pub fn certificates(&self) -> [PathBuf; 2] {
        ["swtpm-localca-rootca-cert.pem", "issuercert.pem"].map(|name| self.folder.join(name))
    }
}

/// The public face of a TPM's endorsement key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EkInfo {
    /// The certificate of the RSA key, DER.
    pub certificate: Vec<u8>,
    /// SHA-256 of its `SubjectPublicKeyInfo`, in lower-case hexadecimal digits: what an operator
    /// registers.
    pub ek_sha256: String,
}

impl EkInfo {
    fn from_certificate(certificate: Vec<u8>) -> der::Result<Self> {
        // TPMs may pad a certificate to the size of its NV index.
        let mut reader = SliceReader::new(&certificate)?;
        let parsed = Certificate::decode(&mut reader)?;
        let spki = parsed.tbs_certificate.subject_public_key_info.to_der()?;
        Ok(Self { ek_sha256: hex::encode(Sha256::digest(spki)), certificate })
    }
}

/// The state of a software TPM: a folder that outlives the devices it is built into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swtpm {
    folder: PathBuf,
}

const STATE: &str = "state";
const EK_CERTIFICATE: &str = "ek-rsa2048.crt";

impl Swtpm {
    /// Makes a new TPM in `folder`, with an RSA and an elliptic-curve endorsement key certified by
    /// `ca`, and with the SHA-256 bank of PCRs only. A TPM that was there is gone.
    pub fn manufacture(toolchain: &Toolchain, ca: &LocalCa, folder: &Path) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(Error::file("remove", folder))?;
        }
        let state = folder.join(STATE);
        fs::create_dir_all(&state).map_err(Error::file("create", &state))?;
        let folder = absolute(folder)?;
        let config = write_configuration(toolchain, ca, &folder)?;
        let mut command = vec![text(&toolchain.swtpm_setup)];
        let mut add = |words: &[&str]| command.extend(words.iter().map(|&w| w.to_owned()));
        add(&["--tpm2", "--tpm-state", &text(&folder.join(STATE))]);
        add(&["--tpm", &format!("{} socket", text(&toolchain.swtpm))]);
        add(&["--config", &text(&config), "--pcr-banks", "sha256", "--overwrite"]);
        add(&["--create-ek-cert", "--lock-nvram", "--write-ek-cert-files", &text(&folder)]);
        run(&command, &[])?;
        Self::open(&folder)
    }

    /// The TPM made in `folder` before.
    pub fn open(folder: &Path) -> Result<Self> {
        let certificate = folder.join(EK_CERTIFICATE);
        if !certificate.is_file() {
            return Err(Error::content(
                folder,
                format!("no software TPM: {EK_CERTIFICATE} missing"),
            ));
        }
        Ok(Self { folder: absolute(folder)? })
    }

    /// Where its state is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A second TPM at `folder` with the same keys and content, as no real one can be copied.
    pub fn duplicate(&self, folder: &Path) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(Error::file("remove", folder))?;
        }
        copy_folder(&self.folder, folder)?;
        Self::open(folder)
    }

    /// The endorsement key, from its certificate.
    pub fn ek(&self) -> Result<EkInfo> {
        let path = self.folder.join(EK_CERTIFICATE);
        let certificate = fs::read(&path).map_err(Error::file("read", &path))?;
        EkInfo::from_certificate(certificate)
            .map_err(|error| Error::content(&path, format!("not a certificate: {error}")))
    }

    /// Starts the TPM for one run of QEMU, which connects to `socket`. It ends with that
    /// connection; a guest's resets do not end it.
    pub fn start(&self, toolchain: &Toolchain, socket: &Path, log: &Path) -> Result<SwtpmProcess> {
        let channel = format!("type=unixio,path={}", text(socket));
        self.launch(toolchain, &["--ctrl", &channel, "--terminate"], log, || socket.exists())
    }

    /// Starts the TPM for programs of this machine that speak to it over TCP on the loopback
    /// address, as the TCTI `swtpm:host=127.0.0.1,port=N` does, with its control channel on port
    /// N + 1.
    pub fn start_tcp(&self, toolchain: &Toolchain, port: u16, log: &Path) -> Result<SwtpmProcess> {
        let control = port.checked_add(1);
        let control = control.ok_or_else(|| Error::Description(format!("no port after {port}")))?;
        let on = |port| format!("type=tcp,bindaddr=127.0.0.1,port={port}");
        let arguments = [
            ["--server", &format!("{},disconnect", on(port))],
            ["--ctrl", &on(control)],
            ["--flags", "not-need-init,startup-clear"],
        ];
        // Connecting to a TPM port would be taken for its client; the control port does not mind.
        self.launch(toolchain, arguments.as_flattened(), log, || answers(control))
    }

    fn launch(
        &self,
        toolchain: &Toolchain,
        arguments: &[&str],
        log: &Path,
        is_ready: impl Fn() -> bool,
    ) -> Result<SwtpmProcess> {
        const PATIENCE: Duration = Duration::from_secs(20);
        let mut command = vec![text(&toolchain.swtpm), "socket".to_owned(), "--tpm2".to_owned()];
        command
            .extend(["--tpmstate".to_owned(), format!("dir={}", text(&self.folder.join(STATE)))]);
        command.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let mut process = Process::start(command, &[], log)?;
        let begun = Instant::now();
        while !is_ready() {
            if process.poll().is_some() || begun.elapsed() > PATIENCE {
                return Err(process.failure());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(SwtpmProcess { process })
    }
}

/// Whether a TPM answers on its control port. It listens there before it has its state, which may
/// be another's, and answers after that (`CMD_GET_CAPABILITY` of swtpm's control channel).
fn answers(control: u16) -> bool {
    const GET_CAPABILITY: u32 = 1;
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", control)) else { return false };
    let mut result = [1; 4];
    let asked = stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .and_then(|()| stream.write_all(&GET_CAPABILITY.to_be_bytes()))
        .and_then(|()| stream.read_exact(&mut result));
    asked.is_ok() && result == [0; 4]
}

/// A running software TPM; it ends when this is dropped.
#[derive(Debug)]
pub struct SwtpmProcess {
    process: Process,
}

impl SwtpmProcess {
    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until it has written its state and ended, as it does when its client has gone.
    pub(crate) fn finish(&mut self) {
        self.process.wait(Duration::from_secs(2));
        self.process.terminate(Duration::from_secs(2));
    }
}

impl Drop for SwtpmProcess {
    fn drop(&mut self) {
        if self.process.poll().is_none() {
            self.process.terminate(Duration::from_secs(2));
        }
    }
}

/// Writes swtpm's three configuration files, so that no file of the machine's owner is used.
fn write_configuration(toolchain: &Toolchain, ca: &LocalCa, folder: &Path) -> Result<PathBuf> {
    let ca_folder = text(&ca.folder);
    let write = |name: &str, content: String| {
        let path = folder.join(name);
        fs::write(&path, content).map_err(Error::file("write", &path))?;
        Ok(path)
    };
    let localca = write(
        "swtpm-localca.conf",
        format!(
            "statedir = {ca_folder}\nsigningkey = {ca_folder}/signkey.pem\n\
             issuercert = {ca_folder}/issuercert.pem\ncertserial = {ca_folder}/certserial\n"
        ),
    )?;
    let options = write(
        "swtpm-localca.options",
        "--platform-manufacturer Holdfast\n--platform-version 1\n--platform-model QEMU\n".into(),
    )?;
    write(
        "swtpm_setup.conf",
        format!(
            "create_certs_tool = {}\ncreate_certs_tool_config = {}\n\
             create_certs_tool_options = {}\nactive_pcr_banks = sha256\n",
            text(&toolchain.swtpm_localca),
            text(&localca),
            text(&options)
        ),
    )
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::file("create", to))?;
    for entry in fs::read_dir(from).map_err(Error::file("list", from))? {
        let entry = entry.map_err(Error::file("list", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(Error::file("inspect", &source))?;
        if kind.is_dir() {
            copy_folder(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).map_err(Error::file("copy", &source))?;
        }
    }
    Ok(())
}

/// swtpm's tools change their folder.
fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(Error::file("find", path))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
#[path = "swtpm_tests.rs"]
mod tests;
