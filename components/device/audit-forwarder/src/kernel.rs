//! The thread that takes the kernel's events, and the watch over what the kernel says it lost.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdfast_daemon::config::{self, ConfigError};
use tokio::sync::oneshot;

use crate::keeper::{Inbox, Request};
use crate::netlink::{
    AuditSocket, Batch, NetlinkError, Reader, Received, SetUp, set_up, unregister,
};
use crate::rules::{self, Rules};

/// How often the kernel is asked what it lost.
pub const ASK_EVERY: Duration = Duration::from_secs(5);

/// Longest wait for the last of them.
const LAST_LOOK: Duration = Duration::from_secs(10);

/// The kernel's events cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The rules.
    #[error(transparent)]
    Rules(#[from] ConfigError),
    /// The socket.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The thread.
    #[error("cannot start the reader of the kernel's events: {0}")]
    Thread(io::Error),
    /// Reading.
    #[error("cannot read the kernel's events: {0}")]
    Read(io::Error),
    /// The keeper ended first.
    #[error("the reader of the kernel's events ended unexpectedly")]
    Ended,
}

/// Reads the file of rules.
pub fn read_rules(path: &Path) -> Result<Rules, KernelError> {
    Ok(config::parse(path, |text| rules::parse(text).map_err(|error| error.to_string()))?)
}

/// The running thread.
#[derive(Debug)]
pub struct KernelReader {
    ended: oneshot::Receiver<Result<(), KernelError>>,
    is_last: Arc<AtomicBool>,
}

impl KernelReader {
    /// Waits for what ends the thread.
    pub async fn failed(&mut self) -> KernelError {
        match (&mut self.ended).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => KernelError::Ended,
        }
    }

    /// Leaves what happens from now on to the kernel, for the next start, and hands over what came
    /// before.
    pub async fn stop(self) {
        self.is_last.store(true, Ordering::Relaxed);
        if let Err(error) = AuditSocket::open().and_then(|mut socket| unregister(&mut socket)) {
            tracing::warn!("{error}");
        }
        if tokio::time::timeout(LAST_LOOK, self.ended).await.is_err() {
            tracing::warn!("the reader of the kernel's events does not end");
        }
    }
}

/// Loads the rules, and starts the thread.
pub fn start(rules: &Rules, inbox: Arc<Inbox>) -> Result<(SetUp, KernelReader), KernelError> {
    let mut socket = AuditSocket::open()?;
    let mut early = Batch::default();
    let done = set_up(&mut socket, rules, |kind, payload| early.push(kind, payload))?;
    let (tell, ended) = oneshot::channel();
    let is_last = Arc::<AtomicBool>::default();
    let is_over = Arc::clone(&is_last);
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || {
            let reader = Reader::new(socket).map_err(KernelError::from);
            let result = reader.and_then(|reader| read(reader, early, &inbox, &is_over));
            // Nobody listens any more when the daemon ends.
            let _ = tell.send(result);
        })
        .map_err(KernelError::Thread)?;
    Ok((done, KernelReader { ended, is_last }))
}

/// Hands over what comes, until the keeper has ended, or there is nothing more.
fn read(
    mut reader: Reader,
    mut batch: Batch,
    inbox: &Inbox,
    is_over: &AtomicBool,
) -> Result<(), KernelError> {
    loop {
        // Asked before: what came until then is read in any case.
        let is_last = is_over.load(Ordering::Relaxed);
        let overflows = match reader.receive(&mut batch).map_err(KernelError::Read)? {
            Received::Nothing if is_last => return Ok(()),
            Received::Messages(_) | Received::Nothing => 0,
            Received::Overflow => 1,
        };
        if (overflows > 0 || !batch.is_empty()) && !inbox.hand_over(&mut batch, overflows) {
            return Ok(());
        }
    }
}

/// Tells the keeper what the kernel says it lost, beyond `known`. Never returns.
pub async fn watch_losses(inbox: Arc<Inbox>, known: u32) {
    let mut known = known;
    let mut was_told = false;
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        // An answer of the kernel takes microseconds.
        let lost = AuditSocket::open().and_then(|mut socket| socket.status(&mut |_, _| {}));
        match lost {
            Ok(status) if status.lost != known => {
                // The count can be set back to 0, by who may do anything.
                let count = status.lost.checked_sub(known).unwrap_or(status.lost);
                known = status.lost;
                if inbox.ask(Request::KernelLost(count.into(), known)).is_err() {
                    return;
                }
            }
            Err(error) if !was_told => {
                was_told = true;
                tracing::warn!("what the kernel lost is not known: {error}");
            }
            Ok(_) | Err(_) => {}
        }
    }
}
