//! Telling the cloud what booted.
//!
//! `holdfast-boot report` writes down and records what did; here it is only passed on, once per boot
//! as far as this daemon knows. The cloud tells boots apart by their id.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_ipc::identity::{State, StatusPublisher};

use crate::keyring::Keyring;
use crate::options::Options;
use crate::peer::PeerError;
use crate::retry::{Curve, Jitter};

const PATH: &str = "/api/v1/device/boot";
const LONGEST: u64 = 8 * 1024;
/// How often the report, and an identity to send it with, are looked for.
const LOOK: Duration = Duration::from_secs(3);

/// Why the report was not passed on. It is tried again.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("cannot read {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("the connector refused it: {code} (request {request_id})")]
    Refused { code: String, request_id: String },
}

/// The task.
pub struct BootReport {
    report: PathBuf,
    keyring: Keyring,
    status: StatusPublisher,
}

impl BootReport {
    /// The task of a daemon with these options.
    pub fn new(options: &Options, keyring: Keyring, status: StatusPublisher) -> Self {
        Self { report: options.boot_report.clone(), keyring, status }
    }

    /// Works until the report was passed on, then rests for as long as the daemon lives.
    pub async fn run(self, jitter: &mut dyn Jitter) {
        let mut failures = 0_u32;
        loop {
            let wait = match self.pass_on().await {
                Ok(true) => break,
                Ok(false) => LOOK,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!("boot report: {error}");
                    Curve::NETWORK.wait(failures, None, jitter).max(LOOK)
                }
            };
            tokio::time::sleep(wait).await;
        }
        std::future::pending::<()>().await;
    }

    /// Whether it was passed on; not, while there is no report or nobody to tell.
    async fn pass_on(&self) -> Result<bool, ReportError> {
        let Some(report) = read(&self.report)
            .map_err(|source| ReportError::File { path: self.report.clone(), source })?
        else {
            return Ok(false);
        };
        if self.status.status().state != State::Active {
            return Ok(false);
        }
        let Some(connector) = self.keyring.keys().connector else { return Ok(false) };
        match connector.put(PATH, report).await? {
            Ok(_) => {
                tracing::info!("the connector knows of this boot");
                Ok(true)
            }
            Err(rejection) => {
                Err(ReportError::Refused { code: rejection.code, request_id: rejection.request_id })
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut report = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut report)?;
    if report.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("over the limit of {LONGEST} bytes")));
    }
    Ok(Some(report))
}
