//! The one thread that writes. Changes that wait at the same time share a commit, and with it the
//! sync to disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::store::StoreError;

/// Changes that may wait; more callers than this wait for their turn to queue.
const QUEUE: usize = 1024;
/// Changes that share a commit at most.
const BATCH: usize = 128;

type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Job = Box<dyn FnOnce(&Connection) -> Reply + Send>;

/// Handle of the thread; dropping it ends the thread after the changes that wait.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_all(&connection, queue))
            .map_err(|e| StoreError::Database(format!("cannot start the writer: {e}")))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs one change; its result is known when it is durable.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = in_savepoint(connection, change);
            Box::new(move |commit| {
                // The caller may have gone away; its change stands all the same.
                let _ = answer.send(commit.and(result));
            })
        });
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_all(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        let mut replies = Vec::new();
        let committed = commit_batch(connection, first, &mut queue, &mut replies);
        for reply in replies {
            reply(match &committed {
                Ok(()) => Ok(()),
                Err(error) => Err(StoreError::Database(error.to_string())),
            });
        }
    }
    if let Err(error) = connection.execute_batch("PRAGMA optimize") {
        tracing::warn!(%error, "the database could not be optimised at its end");
    }
}

fn commit_batch(
    connection: &Connection,
    first: Job,
    queue: &mut mpsc::Receiver<Job>,
    replies: &mut Vec<Reply>,
) -> Result<(), rusqlite::Error> {
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    let mut next = Some(first);
    while let Some(job) = next {
        replies.push(job(connection));
        // SQLite rolls the transaction back by itself on a full disk or an I/O error.
        if begun.is_err() || connection.is_autocommit() || replies.len() == BATCH {
            break;
        }
        next = queue.try_recv().ok();
    }
    begun?;
    let committed = connection.execute_batch("COMMIT");
    if committed.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    committed
}

/// A change of its own within the batch: it fails alone.
fn in_savepoint<T>(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if connection.is_autocommit() {
        return Err(StoreError::Database("the transaction could not be begun".into()));
    }
    connection.execute_batch("SAVEPOINT change")?;
    let result = catch_unwind(AssertUnwindSafe(|| change(connection)))
        .unwrap_or_else(|_| Err(StoreError::Database("a change panicked".into())));
    let end = if result.is_ok() { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" };
    connection.execute_batch(end)?;
    result
}
