//! `holdfast seal` and `holdfast unseal`.

pub mod format;
mod output;

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use format::{FormatError, Header, KEY_BYTES, decrypt, encrypt};
use holdfast_ipc::{CallError, ErrorKind, identity::Identity1Proxy};
use output::Output;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;
use zbus::Connection;
use zeroize::Zeroizing;

use crate::{Code, Failure, cli};

/// Name of the namespace in which data keys of files are sealed.
const SEAL_NAME: &str = "file";
const SUFFIX: &str = "sealed";

/// From where to where.
#[derive(Debug, PartialEq, Eq)]
pub struct Job {
    input: PathBuf,
    output: PathBuf,
    replace: bool,
}

impl Job {
    /// Sealing goes to `FILE.sealed` unless told otherwise.
    pub fn sealing(input: PathBuf, output: Option<PathBuf>, replace: bool) -> Self {
        let output = output.unwrap_or_else(|| {
            let mut name = input.clone().into_os_string();
            name.push(".");
            name.push(SUFFIX);
            name.into()
        });
        Self { input, output, replace }
    }

    /// Opening goes to the name without `.sealed` unless told otherwise.
    pub fn opening(
        input: PathBuf,
        output: Option<PathBuf>,
        replace: bool,
    ) -> Result<Self, Failure> {
        let output = match output {
            Some(output) => output,
            None if input.extension().is_some_and(|suffix| suffix == SUFFIX) => {
                input.with_extension("")
            }
            None => {
                return Err(Failure::new(
                    Code::Usage,
                    format!("{} does not end in .{SUFFIX}", input.display()),
                )
                .advise("Say with --output FILE where to write."));
            }
        };
        Ok(Self { input, output, replace })
    }

    fn open_input(&self) -> Result<BufReader<File>, Failure> {
        let file = File::open(&self.input).map_err(|error| cannot("read", &self.input, &error))?;
        let metadata = file.metadata().map_err(|error| cannot("read", &self.input, &error))?;
        if metadata.is_dir() {
            return Err(Failure::new(
                Code::Failed,
                format!("{} is a folder", self.input.display()),
            )
            .advise("Pack it into one file first, for example with tar."));
        }
        Ok(BufReader::new(file))
    }

    fn create_output(&self) -> Result<Output, Failure> {
        // Said before the work is done; `Output::keep` makes sure.
        if !self.replace && self.output.exists() {
            return Err(self.in_the_way());
        }
        let mut token = [0; 8];
        random(&mut token)?;
        Output::create(&self.output, &hex::encode(token))
            .map_err(|error| cannot("write", &self.output, &error))
    }

    fn keep(&self, output: Output) -> Result<(), Failure> {
        output.keep(self.replace).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => self.in_the_way(),
            _ => cannot("write", &self.output, &error),
        })
    }

    fn in_the_way(&self) -> Failure {
        Failure::new(Code::Failed, format!("{} is there already", self.output.display()))
            .advise("Replace it with --force, or choose another with --output.")
    }

    fn failed(&self, doing: &str, error: &FormatError) -> Failure {
        Failure::new(Code::Failed, format!("{} cannot be {doing}: {error}", self.input.display()))
    }

    fn report(&self, done: &str, bytes: u64, json: bool, text: &str) -> Result<(), Failure> {
        if json {
            cli::print_json(&json!({
                done: self.output, "from": self.input, "plaintext_bytes": bytes
            }))
        } else {
            let (input, output) = (self.input.display(), self.output.display());
            cli::print(&format!("{input} -> {output} ({bytes} bytes of content)\n{text}"))
        }
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Failed, format!("cannot {what} {}: {error}", path.display()))
}

fn random(bytes: &mut [u8]) -> Result<(), Failure> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| Failure::new(Code::Failed, "the system gives no random numbers"))
}

/// Seals a file.
pub(crate) async fn seal(bus: &Connection, job: &Job, json: bool) -> Result<Code, Failure> {
    let mut input = job.open_input()?;
    let mut output = job.create_output()?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    random(key.as_mut())?;
    let sealed_key = Identity1Proxy::new(bus).await?.seal(SEAL_NAME, key.as_ref()).await?;
    let header = Header::new(&sealed_key).map_err(|error| job.failed("sealed", &error))?;
    let bytes = through(&mut output, |writer| encrypt(key.as_ref(), &header, &mut input, writer))
        .map_err(|error| job.failed("sealed", &error))?;
    job.keep(output)?;
    job.report(
        "sealed",
        bytes,
        json,
        "Only you, on this device, can open it. The original is still there.",
    )?;
    Ok(Code::Ok)
}

/// Opens a sealed file.
pub(crate) async fn unseal(bus: &Connection, job: &Job, json: bool) -> Result<Code, Failure> {
    let mut input = job.open_input()?;
    let header = Header::read(&mut input).map_err(|error| job.failed("opened", &error))?;
    let mut output = job.create_output()?;
    let proxy = Identity1Proxy::new(bus).await?;
    let key = proxy.unseal(SEAL_NAME, header.sealed_key()).await;
    let key = Zeroizing::new(key.map_err(|error| refused(job, error))?);
    let bytes = through(&mut output, |writer| decrypt(&key, &header, &mut input, writer))
        .map_err(|error| job.failed("opened", &error))?;
    job.keep(output)?;
    job.report("unsealed", bytes, json, "The sealed file is still there.")?;
    Ok(Code::Ok)
}

fn refused(job: &Job, error: zbus::Error) -> Failure {
    let file = job.input.display();
    match CallError::from_reply(&error) {
        Some(CallError { kind: ErrorKind::NotOurs, message }) => Failure::new(
            Code::Refused,
            format!("{file} cannot be opened on this device: {message}"),
        )
        .advise(
            "It was sealed on another device, or for a system that this device did not boot \
             (Secure Boot changed, or an unsigned image), or it is damaged. Open it on the \
             device that sealed it.",
        ),
        Some(CallError { kind: ErrorKind::AccessDenied, message }) => {
            Failure::new(Code::Refused, format!("{file} is not opened for you: {message}"))
                .advise("Open it as the user who sealed it; that user needs holdfast-operator.")
        }
        _ => error.into(),
    }
}

fn through(
    output: &mut Output,
    work: impl FnOnce(&mut BufWriter<&mut File>) -> Result<u64, FormatError>,
) -> Result<u64, FormatError> {
    let mut writer = BufWriter::new(output.file());
    let bytes = work(&mut writer)?;
    writer.flush().map_err(FormatError::Write)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_names() {
        let job = Job::sealing("a/b.txt".into(), None, false);
        assert_eq!(job.output, PathBuf::from("a/b.txt.sealed"));
        let job = Job::opening("a/b.txt.sealed".into(), None, false).unwrap();
        assert_eq!(job.output, PathBuf::from("a/b.txt"));
        let failure = Job::opening("a/b.txt".into(), None, false).unwrap_err();
        assert_eq!(failure.code, Code::Usage);
        let job = Job::opening("a/b.txt".into(), Some("c".into()), true).unwrap();
        assert_eq!((job.output, job.replace), (PathBuf::from("c"), true));
    }
}
