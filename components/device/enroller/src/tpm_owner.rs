//! The one owner of the TPM connection: a thread that does jobs in turn.
//!
//! A TPM does one thing at a time and takes up to seconds for it. Asynchronous code awaits its
//! turn; rustls, whose signing is synchronous, blocks for it. The connection is opened by the
//! first job, and by each later one while it cannot be opened.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use holdfast_tpm::{Tpm, TpmError};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(Result<&Tpm, TpmError>) + Send>;

/// The owner's thread is gone, which happens only while the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the TPM is no longer available, the daemon is stopping")]
pub struct TpmGone;

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The TPM.
    #[error(transparent)]
    Tpm(#[from] TpmError),
    /// The daemon stops.
    #[error(transparent)]
    Gone(#[from] TpmGone),
}

enum Message {
    Do(Job),
    Stop,
}

/// A handle to the owner; clones share it.
#[derive(Debug, Clone)]
pub struct TpmOwner {
    jobs: mpsc::Sender<Message>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl TpmOwner {
    /// Starts the thread for a TPM (`device:/dev/tpmrm0`).
    pub fn start(tcti: String) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let thread =
            thread::Builder::new().name("tpm".into()).spawn(move || work(&tcti, &queue))?;
        Ok(Self { jobs, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Does a job and blocks until it is done.
    pub fn run<T, E>(&self, job: impl FnOnce(&Tpm) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<TpmError> + From<TpmGone> + Send + 'static,
    {
        let (done, result) = mpsc::sync_channel(1);
        self.submit(move |tpm| {
            // Whoever asked may have given up.
            let _ = done.send(tpm.map_err(E::from).and_then(job));
        })?;
        result.recv().map_err(|_| TpmGone)?
    }

    /// Does a job and waits for it without blocking the thread.
    pub async fn ask<T, E>(
        &self,
        job: impl FnOnce(&Tpm) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<TpmError> + From<TpmGone> + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        self.submit(move |tpm| {
            let _ = done.send(tpm.map_err(E::from).and_then(job));
        })?;
        result.await.map_err(|_| TpmGone)?
    }

    /// Waits until the running job is done and the connection is closed.
    ///
    /// A process that exits while a job runs loses its cryptography under the job's feet, and
    /// leaves objects in a TPM without resource manager.
    pub async fn close(&self) {
        let _ = self.jobs.send(Message::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    fn submit(
        &self,
        job: impl FnOnce(Result<&Tpm, TpmError>) + Send + 'static,
    ) -> Result<(), TpmGone> {
        self.jobs.send(Message::Do(Box::new(job))).map_err(|_| TpmGone)
    }
}

fn work(tcti: &str, queue: &mpsc::Receiver<Message>) {
    let mut connection = None;
    while let Ok(Message::Do(job)) = queue.recv() {
        if connection.is_none() {
            match Tpm::open(tcti) {
                Ok(tpm) => connection = Some(tpm),
                Err(error) => {
                    job(Err(error));
                    continue;
                }
            }
        }
        if let Some(tpm) = &connection {
            job(Ok(tpm));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tpm_that_is_not_there_is_an_error_of_each_job_and_closing_is_final() {
        let owner = TpmOwner::start("swtpm:host=127.0.0.1,port=1".to_owned()).unwrap();
        for _ in 0..2 {
            let error = owner.ask(|tpm| tpm.random(1).map_err(JobError::from)).await.unwrap_err();
            assert!(matches!(error, JobError::Tpm(TpmError::Open { .. })), "{error}");
        }
        owner.close().await;
        let error = owner.ask(|tpm| tpm.random(1).map_err(JobError::from)).await.unwrap_err();
        assert!(matches!(error, JobError::Gone(_)), "{error}");
    }
}
