//! What waits for the keeper: bounded, so that a disk that is slow slows down who writes, and no
//! memory grows.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_audit_log::checkpoint::BootBinding;
use holdfast_audit_log::{Boot, Origin};
use holdfast_ipc::audit1::Record;
use tokio::sync::oneshot;

use crate::engine::Kept;
use crate::netlink::Batch;
use crate::spool::Carry;

/// Bytes of the kernel's messages that wait at most; then the reader waits, the kernel's own backlog
/// fills, and whoever causes events is slowed down by the kernel.
const KERNEL_BYTES: usize = 4 * 1024 * 1024;
/// Records of daemons that wait at most. A daemon has one call at a time under way per caller.
const REQUESTS: usize = 4096;

/// What the keeper is asked for.
#[derive(Debug)]
pub enum Request {
    /// Keep a record; the answer comes when it is durable.
    Record(Box<Record>, oneshot::Sender<Kept>),
    /// Make everything durable; the log's size then.
    Flush(oneshot::Sender<u64>),
    /// The device started.
    Boot(Boot, Option<BootBinding>),
    /// A checkpoint was signed: its note, and whether it is this boot's first.
    Signed {
        /// Whose.
        log: Origin,
        /// The note.
        note: String,
        /// Whether it holds the binding of this boot.
        is_bound: bool,
    },
    /// One of this log could not be signed.
    NotSigned(Origin),
    /// The cloud has all records below this number.
    Release(u64),
    /// Go on with another log; answered when its records are durable and its state is known.
    Replace(Origin, Carry, oneshot::Sender<()>),
    /// The kernel lost so many messages; this is its own count now.
    KernelLost(u64, u32),
    /// End.
    Stop,
}

/// The inbox.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    /// Something came.
    filled: Condvar,
    /// The kernel's messages were taken.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    kernel: Batch,
    overflows: u64,
    requests: VecDeque<Request>,
    is_closed: bool,
}

/// What was waiting.
#[derive(Debug, Default)]
pub struct Work {
    /// Messages of the kernel.
    pub kernel: Batch,
    /// How often the socket's buffer was full.
    pub overflows: u64,
    /// What was asked for, in order.
    pub requests: VecDeque<Request>,
}

/// The keeper has ended, or is too far behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It ended.
    #[error("the keeper of the audit log has ended")]
    Ended,
    /// Too much waits.
    #[error("{REQUESTS} records wait for the disk already")]
    Busy,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request.
    pub fn ask(&self, request: Request) -> Result<(), NotTaken> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(NotTaken::Ended);
        }
        // What the daemon asks of itself is little, and must not be held up by callers.
        if matches!(request, Request::Record(..)) && state.requests.len() >= REQUESTS {
            return Err(NotTaken::Busy);
        }
        state.requests.push_back(request);
        self.filled.notify_one();
        Ok(())
    }

    /// Hands over messages of the kernel, and waits while too many are there already. False where
    /// the keeper has ended.
    pub fn hand_over(&self, batch: &mut Batch, overflows: u64) -> bool {
        let mut state = self.lock();
        state.overflows += overflows;
        while state.kernel.len() >= KERNEL_BYTES && !state.is_closed {
            state = self.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return false;
        }
        state.kernel.take_from(batch);
        self.filled.notify_one();
        true
    }

    /// Waits for work, but no longer than this. `takes_kernel` is false while the kernel's messages
    /// have no room on the disk and are to wait.
    pub fn wait(&self, limit: Duration, takes_kernel: bool, spare: Batch) -> Work {
        let is_idle = |state: &mut State| {
            let has_kernel = takes_kernel && !state.kernel.is_empty();
            !has_kernel && state.requests.is_empty() && state.overflows == 0
        };
        let waited = self.filled.wait_timeout_while(self.lock(), limit, is_idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let kernel = if takes_kernel {
            self.emptied.notify_all();
            std::mem::replace(&mut state.kernel, spare)
        } else {
            Batch::default()
        };
        Work {
            kernel,
            overflows: std::mem::take(&mut state.overflows),
            requests: std::mem::take(&mut state.requests),
        }
    }

    /// Bytes of the kernel's messages that wait.
    pub fn waiting(&self) -> usize {
        self.lock().kernel.len()
    }

    /// Takes nothing from now on; who waits is let go.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.requests.clear();
        self.emptied.notify_all();
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use holdfast_audit_log::kernel::MessageType;

    use super::*;

    fn batch(len: usize) -> Batch {
        let mut batch = Batch::default();
        batch.push(MessageType(1300), &vec![b'x'; len]);
        batch
    }

    #[test]
    fn a_reader_waits_while_too_much_is_there() {
        let inbox = Arc::new(Inbox::default());
        assert!(inbox.hand_over(&mut batch(KERNEL_BYTES), 0));
        let reader = thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || inbox.hand_over(&mut batch(10), 1)
        });
        let mut work = Work::default();
        let mut messages = 0;
        let mut overflows = 0;
        while messages < 2 {
            work = inbox.wait(Duration::from_secs(10), true, work.kernel);
            messages += work.kernel.messages().count();
            overflows += work.overflows;
            work.kernel.clear();
        }
        assert!(reader.join().unwrap());
        assert_eq!((inbox.waiting(), overflows), (0, 1));
    }

    #[test]
    fn while_the_disk_has_no_room_the_kernel_waits_and_requests_do_not() {
        let inbox = Inbox::default();
        assert!(inbox.hand_over(&mut batch(10), 0));
        inbox.ask(Request::Release(1)).unwrap();
        let work = inbox.wait(Duration::from_secs(10), false, Batch::default());
        assert!(work.kernel.is_empty() && work.requests.len() == 1);
        let work = inbox.wait(Duration::from_millis(1), false, Batch::default());
        assert!(work.requests.is_empty() && inbox.waiting() > 0);
        assert!(!inbox.wait(Duration::ZERO, true, Batch::default()).kernel.is_empty());
    }

    #[test]
    fn nobody_waits_for_a_keeper_that_has_ended() {
        let inbox = Inbox::default();
        inbox.hand_over(&mut batch(KERNEL_BYTES), 0);
        inbox.close();
        assert!(!inbox.hand_over(&mut batch(1), 0));
        assert_eq!(inbox.ask(Request::Stop), Err(NotTaken::Ended));
    }
}
