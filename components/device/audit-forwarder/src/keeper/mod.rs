//! The one thread that writes the log. It waits for the disk, so that nobody else has to.

mod inbox;
mod state;
#[cfg(test)]
mod tests;

pub use inbox::{Inbox, NotTaken, Request, Work};
pub use state::State;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use holdfast_audit_log::LossCause;
use holdfast_audit_log::checkpoint::Checkpoint;
use holdfast_audit_log::frame::Class;
use holdfast_ipc::audit1::Record;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::WhenFull;
use crate::engine::{Engine, Kept};
use crate::netlink::Batch;
use crate::now::{boottime_ns, now};
use crate::spool::{Fill, Folder, SpoolError};
use crate::start::{BootMarker, Durable};

/// The engine of the real log.
pub type LogEngine = Engine<Folder, oneshot::Sender<Kept>>;

/// Longest sleep: so often it shows that it is alive.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// What an event of the kernel may need besides its messages.
const EVENT_ROOM: usize = 64 * 1024;
/// A device that must not go on without a log gets so long to hand records over, nanoseconds. Without
/// that it would halt again at its next start, and for ever.
const GRACE_NS: u64 = 600_000_000_000;
/// Failures of the disk are told so often, nanoseconds.
const TELL_EVERY_NS: u64 = 60_000_000_000;

/// Why the keeper ended.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The spool cannot be used any more.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The spool is full, and the policy says that the device must not go on without a log.
    #[error(
        "the spool is full and the policy is to halt; the device goes on when the connector takes \
         records again, or with another policy"
    )]
    Full,
    /// The thread panicked.
    #[error("the keeper of the audit log ended unexpectedly")]
    Ended,
}

/// How everybody else speaks to the keeper.
#[derive(Clone, Debug)]
pub struct Keeper {
    inbox: Arc<Inbox>,
    state: watch::Receiver<State>,
    seen: Arc<AtomicU64>,
}

/// What the thread works with.
#[derive(Debug)]
pub struct Parts {
    /// The log.
    pub engine: LogEngine,
    /// What to do where the spool is full.
    pub when_full: WhenFull,
    /// What this boot's log is known to have, for the daemon's next start.
    pub marker: BootMarker,
    /// Checkpoints to be signed.
    pub to_sign: mpsc::Sender<Checkpoint>,
}

impl Keeper {
    /// Starts the thread. What comes of it arrives when it ends.
    pub fn start(
        parts: Parts,
    ) -> std::io::Result<(Self, oneshot::Receiver<Result<(), KeeperError>>)> {
        let inbox = Arc::<Inbox>::default();
        let seen = Arc::new(AtomicU64::new(boottime_ns()));
        let (publish, state) = watch::channel(State::of(&parts.engine, None));
        let (ended, end) = oneshot::channel();
        let mut thread = Thread {
            inbox: Arc::clone(&inbox),
            seen: Arc::clone(&seen),
            publish,
            when_full: parts.when_full,
            marker: parts.marker,
            to_sign: parts.to_sign,
            write_error: None,
            told: None,
            halt: Halt::default(),
        };
        std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
            let result = thread.run(parts.engine);
            thread.inbox.close();
            let _ = ended.send(result);
        })?;
        Ok((Self { inbox, state, seen }, end))
    }

    /// The inbox.
    pub fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// The log's state, as of the last write.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Nanoseconds since the thread was last seen at work.
    pub fn silent_ns(&self) -> u64 {
        boottime_ns().saturating_sub(self.seen.load(Ordering::Relaxed))
    }

    /// Keeps a record, durably.
    pub async fn record(&self, record: Record) -> Kept {
        let (answer, kept) = oneshot::channel();
        if let Err(error) = self.inbox.ask(Request::Record(Box::new(record), answer)) {
            return Kept::Not(error.to_string());
        }
        kept.await.unwrap_or_else(|_| Kept::Not(NotTaken::Ended.to_string()))
    }

    /// Makes everything durable; the log's size then.
    pub async fn flush(&self) -> Result<u64, NotTaken> {
        let (answer, size) = oneshot::channel();
        self.inbox.ask(Request::Flush(answer))?;
        size.await.map_err(|_| NotTaken::Ended)
    }
}

/// Since when a device that must not go on without a log has none.
#[derive(Debug, Default)]
struct Halt {
    since: Option<u64>,
}

impl Halt {
    /// Whether it has waited long enough for the connector, `CLOCK_BOOTTIME`.
    fn is_due(&mut self, fill: Fill, now: u64) -> bool {
        if fill < Fill::Reserve {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert_with(|| {
            tracing::error!(
                "the spool is full: the device halts in 10 minutes, unless the connector takes records"
            );
            now
        });
        now.saturating_sub(since) >= GRACE_NS
    }
}

struct Thread {
    inbox: Arc<Inbox>,
    seen: Arc<AtomicU64>,
    publish: watch::Sender<State>,
    when_full: WhenFull,
    marker: BootMarker,
    to_sign: mpsc::Sender<Checkpoint>,
    write_error: Option<String>,
    told: Option<u64>,
    halt: Halt,
}

impl Thread {
    fn run(&mut self, mut engine: LogEngine) -> Result<(), KeeperError> {
        let mut spare = Batch::default();
        loop {
            let takes_kernel = self.when_full == WhenFull::Drop
                || engine.spool().has_room(Class::Execution, self.inbox.waiting() + EVENT_ROOM);
            let work = self.inbox.wait(until(engine.next_deadline()), takes_kernel, spare);
            let now = now();
            self.seen.store(now.boottime_ns, Ordering::Relaxed);
            if work.overflows > 0 {
                engine.lost_records(LossCause::SocketOverflow, work.overflows);
            }
            engine.kernel(&work.kernel, now);
            spare = work.kernel;
            spare.clear();

            let mut flushed = Vec::new();
            let mut replaced = Vec::new();
            let mut stops = false;
            let mut kernel_lost = None;
            let mut is_urgent = false;
            for request in work.requests {
                match request {
                    Request::Record(record, who) => {
                        if let Some((who, kept)) = engine.operation(&record, who, now) {
                            let _ = who.send(kept);
                        }
                    }
                    Request::Flush(who) => flushed.push(who),
                    Request::Boot(boot, binding) => {
                        if self.marker.is_recorded() {
                            engine.bind(binding);
                        } else {
                            engine.boot(&boot, binding, now);
                            is_urgent = true;
                        }
                    }
                    // A log that was left meanwhile needs no checkpoint any more.
                    Request::Signed { log, .. } | Request::NotSigned(log)
                        if log != *engine.spool().log().origin() => {}
                    Request::Signed { note, is_bound, .. } => {
                        engine.signed(&note, is_bound, now);
                        is_urgent |= is_bound;
                    }
                    Request::NotSigned(_) => engine.not_signed(now.boottime_ns),
                    Request::Release(size) => {
                        engine.release(size)?;
                    }
                    Request::Replace(origin, carry, done) => {
                        self.commit(&mut engine);
                        engine = engine.replace(&origin, &carry)?;
                        tracing::warn!(log = %origin, from = carry.from, "another log was begun");
                        replaced.push(done);
                    }
                    Request::KernelLost(count, known) => {
                        engine.lost_records(LossCause::KernelLost, count);
                        kernel_lost = Some(known);
                    }
                    Request::Stop => stops = true,
                }
            }
            if stops {
                engine.finish(now);
            } else {
                engine.tick(now);
            }
            // Losses go into the log with the tick; then the note may say so.
            is_urgent |= kernel_lost.is_some();
            let is_asked = stops || is_urgent || !flushed.is_empty();
            if is_asked || engine.is_commit_due(now.boottime_ns) {
                let is_durable = self.commit(&mut engine);
                if is_durable {
                    self.marker.note(&Durable {
                        log: engine.spool().durable().origin().as_str(),
                        size: engine.spool().durable_size(),
                        boot: engine.has_boot(),
                        bound: engine.has_bound(),
                        serial: engine.kept_serial(),
                        kernel_lost,
                    });
                }
            }
            self.publish(&engine);
            for who in replaced {
                let _ = who.send(());
            }
            for who in flushed {
                let _ = who.send(engine.spool().durable_size());
            }
            if stops {
                return Ok(());
            }
            if self.when_full == WhenFull::Halt
                && self.halt.is_due(engine.spool().fill(), now.boottime_ns)
            {
                return Err(KeeperError::Full);
            }
            if let Some(checkpoint) = engine.checkpoint(now.boottime_ns)
                && self.to_sign.try_send(checkpoint).is_err()
            {
                engine.not_signed(now.boottime_ns);
            }
        }
    }

    /// Writes what waits, and tells who waited. Whether it is on disk.
    fn commit(&mut self, engine: &mut LogEngine) -> bool {
        let (answers, result) = engine.commit();
        self.write_error = result.err().map(|error| error.to_string());
        // Whoever has his answer finds his record in the state that is asked for next.
        self.publish(engine);
        for (who, kept) in answers {
            let _ = who.send(kept);
        }
        if let Some(error) = &self.write_error {
            let now = boottime_ns();
            if self.told.is_none_or(|told| now.saturating_sub(told) >= TELL_EVERY_NS) {
                self.told = Some(now);
                tracing::error!("{error}");
            }
        }
        self.write_error.is_none()
    }

    fn publish(&self, engine: &LogEngine) {
        self.publish.send_if_modified(|state| {
            let new = State::of(engine, self.write_error.clone());
            let has_changed = *state != new;
            if has_changed {
                if new.fill > state.fill && new.fill >= Fill::High {
                    tracing::warn!(used = new.used, limit = new.limit, "the spool fills");
                }
                *state = new;
            }
            has_changed
        });
    }
}

fn until(deadline: Option<u64>) -> Duration {
    let wait = deadline.map(|at| Duration::from_nanos(at.saturating_sub(boottime_ns())));
    wait.map_or(LONGEST_SLEEP, |wait| wait.min(LONGEST_SLEEP))
}
