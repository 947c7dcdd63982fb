//! The one owner of the TPM connection: a thread that does jobs in turn.
//!
//! A TPM does one thing at a time and takes up to seconds for it. Asynchronous code awaits its
//! turn; rustls, whose signing is synchronous, blocks for it.

use std::sync::mpsc;
use std::thread;

use holdfast_tpm::{Tpm, TpmError};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&Tpm) + Send>;

/// The owner's thread is gone, which happens only while the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the TPM is no longer available, the daemon is stopping")]
pub struct TpmGone;

/// A handle to the owner; clones share it.
#[derive(Debug, Clone)]
pub struct TpmOwner {
    jobs: mpsc::Sender<Job>,
}

impl TpmOwner {
    /// Opens the TPM (`device:/dev/tpmrm0`) on a thread of its own.
    pub async fn open(tcti: String) -> Result<Self, TpmError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (opened, result) = oneshot::channel();
        let spawned = thread::Builder::new().name("tpm".into()).spawn({
            let tcti = tcti.clone();
            move || match Tpm::open(&tcti) {
                Ok(tpm) => {
                    let _ = opened.send(Ok(()));
                    for job in queue {
                        job(&tpm);
                    }
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
        });
        let failed = |detail: String| TpmError::Malformed { what: "TPM thread", detail };
        spawned.map_err(|error| failed(error.to_string()))?;
        result.await.map_err(|_| failed(format!("it ended while opening {tcti}")))??;
        Ok(Self { jobs })
    }

    /// Does a job and blocks until it is done.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Tpm) -> T + Send + 'static,
    ) -> Result<T, TpmGone> {
        let (done, result) = mpsc::sync_channel(1);
        self.submit(move |tpm| {
            let _ = done.send(job(tpm));
        })?;
        result.recv().map_err(|_| TpmGone)
    }

    /// Does a job and waits for it without blocking the thread.
    pub async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Tpm) -> T + Send + 'static,
    ) -> Result<T, TpmGone> {
        let (done, result) = oneshot::channel();
        self.submit(move |tpm| {
            let _ = done.send(job(tpm));
        })?;
        result.await.map_err(|_| TpmGone)
    }

    fn submit(&self, job: impl FnOnce(&Tpm) + Send + 'static) -> Result<(), TpmGone> {
        self.jobs.send(Box::new(job)).map_err(|_| TpmGone)
    }
}
