//! Handing the recovery keys of the state volume over to the cloud.
//!
//! The keys are made and wrapped to the operator before the daemon starts (`holdfast-boot
//! recovery`); what is handed over is of no use to the cloud, nor to this daemon. The cloud's
//! acknowledgement goes into the state folder, where the maker of the keys looks for it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use holdfast_ipc::identity::{State, StatusPublisher};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::disk::{Disk, Folder};
use crate::keyring::Keyring;
use crate::options::Options;
use crate::peer::PeerError;
use crate::recorder::Recorder;
use crate::retry::{Curve, Jitter};

/// The cloud has the recovery keys.
pub const HAND_OVER: &str = "identity.hand-over-recovery-key";
/// SHA-256 of the keys that the cloud has, hexadecimal, in the state folder.
pub const ACKNOWLEDGED: &str = "recovery-acknowledged";

const TEMPORARY: &str = ".new-recovery-acknowledged";
const PATH: &str = "/api/v1/device/recovery-key";
const LONGEST: u64 = 64 * 1024;
/// How often the keys are looked for while they may still be made, and how many times.
const SOON: Duration = Duration::from_secs(3);
const SOON_TIMES: u32 = 200;
/// How often afterwards: keys change at an operator's wish or after a recovery.
const LATER: Duration = Duration::from_secs(60);

/// Why the keys were not handed over. It is tried again.
#[derive(Debug, thiserror::Error)]
enum HandOverError {
    #[error("{path}: {reason}")]
    File { path: PathBuf, reason: String },
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("the connector refused the recovery keys: {0}")]
    Refused(String),
}

/// The task.
pub struct HandOver {
    keys: PathBuf,
    state: PathBuf,
    keyring: Keyring,
    status: StatusPublisher,
    recorder: Recorder,
}

/// What the connector says that it has.
#[derive(Deserialize)]
struct Stored {
    sha256: String,
}

/// What came of looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    /// There is nothing to hand over now.
    Nothing,
    /// The cloud has them.
    HandedOver,
}

impl HandOver {
    /// The task of a daemon with these options.
    pub fn new(
        options: &Options,
        keyring: Keyring,
        status: StatusPublisher,
        recorder: Recorder,
    ) -> Self {
        Self {
            keys: options.recovery_keys.clone(),
            state: options.state.clone(),
            keyring,
            status,
            recorder,
        }
    }

    /// Works for as long as the daemon lives.
    pub async fn run(self, jitter: &mut dyn Jitter) {
        let (mut looked, mut failures) = (0_u32, 0_u32);
        loop {
            let wait = match self.look().await {
                Ok(outcome) => {
                    failures = 0;
                    // What was handed over may change once the old key is destroyed.
                    looked =
                        if outcome == Looked::HandedOver { 0 } else { looked.saturating_add(1) };
                    if looked < SOON_TIMES { SOON } else { LATER }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!("recovery keys: {error}");
                    Curve::NETWORK.wait(failures, None, jitter).max(SOON)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn look(&self) -> Result<Looked, HandOverError> {
        let Some(keys) = self.read_keys()? else { return Ok(Looked::Nothing) };
        let digest = hex::encode(Sha256::digest(&keys));
        let mut folder = Folder::open(&self.state).map_err(|e| self.unwritten(&e))?;
        let held = folder.read(ACKNOWLEDGED).map_err(|e| self.unwritten(&e))?;
        let known = held.is_some_and(|held| held.trim_ascii() == digest.as_bytes());
        if known || self.status.status().state != State::Active {
            return Ok(Looked::Nothing);
        }
        let Some(stored) = self.send(keys).await? else { return Ok(Looked::Nothing) };
        if stored.sha256 != digest {
            return Err(HandOverError::Refused(format!(
                "it stored other bytes, SHA-256 {:?} instead of {digest}",
                stored.sha256
            )));
        }
        acknowledge(&mut folder, &digest).map_err(|e| self.unwritten(&e))?;
        tracing::info!(sha256 = digest, "the connector has the recovery keys");
        self.recorder.done(HAND_OVER, &digest, &[digest.as_bytes()]).await;
        Ok(Looked::HandedOver)
    }

    fn read_keys(&self) -> Result<Option<Vec<u8>>, HandOverError> {
        let failed = |reason: String| HandOverError::File { path: self.keys.clone(), reason };
        match std::fs::metadata(&self.keys) {
            Ok(metadata) if metadata.len() > LONGEST => {
                return Err(failed(format!("over the limit of {LONGEST} bytes")));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        }
        std::fs::read(&self.keys).map(Some).map_err(|error| failed(error.to_string()))
    }

    fn unwritten(&self, error: &io::Error) -> HandOverError {
        HandOverError::File { path: self.state.join(ACKNOWLEDGED), reason: error.to_string() }
    }

    /// Sends the keys, if there is an identity to send them with.
    async fn send(&self, keys: Vec<u8>) -> Result<Option<Stored>, HandOverError> {
        let Some(connector) = self.keyring.keys().connector else { return Ok(None) };
        let answer = match connector.put(PATH, keys).await? {
            Ok(answer) => answer,
            Err(rejection) => {
                return Err(HandOverError::Refused(format!(
                    "{} (request {})",
                    rejection.code, rejection.request_id
                )));
            }
        };
        serde_json::from_slice(&answer)
            .map(Some)
            .map_err(|error| HandOverError::Refused(format!("its answer is {error}")))
    }
}

fn acknowledge(folder: &mut dyn Disk, digest: &str) -> io::Result<()> {
    folder.write(TEMPORARY, digest.as_bytes())?;
    folder.sync(TEMPORARY)?;
    folder.rename(TEMPORARY, ACKNOWLEDGED)?;
    folder.sync_folder()
}
