//! The thread that takes the kernel's events, and the watch over what the kernel says it lost.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_daemon::config::{self, ConfigError};
use tokio::sync::oneshot;

use crate::keeper::{Inbox, Request};
use crate::netlink::{AuditSocket, Batch, NetlinkError, Reader, Received, SetUp, set_up};
use crate::rules::{self, Rules};

/// How often the kernel is asked what it lost.
pub const ASK_EVERY: Duration = Duration::from_secs(5);

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

/// Loads the rules, and starts the thread. What ends it arrives when it ends.
pub fn start(
    rules: &Rules,
    inbox: Arc<Inbox>,
) -> Result<(SetUp, oneshot::Receiver<KernelError>), KernelError> {
    let mut socket = AuditSocket::open()?;
    let mut early = Batch::default();
    let done = set_up(&mut socket, rules, |kind, payload| early.push(kind, payload))?;
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || {
            if let Some(error) = read(Reader::new(socket), early, &inbox) {
                let _ = ended.send(error);
            }
        })
        .map_err(KernelError::Thread)?;
    Ok((done, end))
}

/// Hands over what comes, until the keeper has ended.
fn read(mut reader: Reader, mut batch: Batch, inbox: &Inbox) -> Option<KernelError> {
    loop {
        let overflows = match reader.receive(&mut batch) {
            Ok(Received::Messages(_) | Received::Nothing) => 0,
            Ok(Received::Overflow) => 1,
            Err(error) => return Some(KernelError::Read(error)),
        };
        if (overflows > 0 || !batch.is_empty()) && !inbox.hand_over(&mut batch, overflows) {
            return None;
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
