//! What goes into the log, when it is written, and when it is signed. No clock and no threads of
//! its own: whoever drives it says what time it is.

use std::collections::BTreeMap;

use holdfast_audit_log::checkpoint::{BootBinding, Checkpoint};
use holdfast_audit_log::frame::{Class, Kind, Timestamp};
use holdfast_audit_log::kernel::{self, Assembler, Output};
use holdfast_audit_log::{Boot, ClockStep, Entry, Loss, LossCause, Origin, Recovered};
use holdfast_ipc::audit1::Record;

use crate::coalesce::Coalescer;
use crate::netlink::Batch;
use crate::spool::{Carry, Disk, Refused, Spool, SpoolError};

/// What is not critical is on disk after so long, nanoseconds,
const GROUP_NS: u64 = 100_000_000;
/// or when so many bytes wait.
const GROUP_BYTES: usize = 64 * 1024;
/// A checkpoint is due after so many records,
const CHECKPOINT_RECORDS: u64 = 1000;
/// or so long after the first record without one, nanoseconds.
const CHECKPOINT_NS: u64 = 60_000_000_000;
/// The first one of a boot is tried again after so long, nanoseconds: the key may not be made yet.
const RETRY_NS: u64 = 5_000_000_000;
/// A clock that moved by more than this against the time since the start was set, nanoseconds.
const CLOCK_STEP_NS: u64 = 500_000_000;

/// What a record that somebody waits for came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is on disk under this number.
    As(u64),
    /// It is counted with others.
    Counted,
    /// It is not in the log.
    Not(String),
}

/// The log and all that is decided about it. `W` stands for whoever waits for a record.
#[derive(Debug)]
pub struct Engine<D, W> {
    spool: Spool<D>,
    assembler: Assembler,
    coalescer: Coalescer,
    /// Losses that are not in the log yet.
    losses: BTreeMap<LossCause, u64>,
    waiting: Vec<(u64, W)>,
    /// When the oldest record that waits for a commit was appended, `CLOCK_BOOTTIME`.
    pending_since: Option<u64>,
    /// Real time minus time since the start.
    clock_offset: Option<i128>,
    checkpoints: Checkpoints,
    /// Records that were lost since the start, by cause.
    lost: BTreeMap<LossCause, u64>,
    has_boot: bool,
}

/// When the next checkpoint is due.
#[derive(Debug, Default)]
struct Checkpoints {
    /// Size of the log that the last one covers, itself included.
    covered: u64,
    /// When the first record after it was appended.
    since: Option<u64>,
    /// One is being signed.
    is_asked: bool,
    /// What the first one of this boot carries.
    binding: Option<BootBinding>,
    is_bound: bool,
    /// Size of the log in the last one that this run got signed.
    signed: Option<u64>,
    /// The key was not ready: it is asked for again then.
    not_before: u64,
}

impl Checkpoints {
    /// When there may be one, `CLOCK_BOOTTIME`.
    fn due(&self) -> Option<u64> {
        let since = self.since.filter(|_| !self.is_asked)?;
        if self.is_bound {
            return Some(since.saturating_add(CHECKPOINT_NS));
        }
        // The first one of a boot is wanted as soon as there is the TPM's word for it.
        self.binding.map(|_| since.max(self.not_before))
    }
}

impl<D: Disk, W> Engine<D, W> {
    /// Goes on with a spool. A `recovered` of its opening becomes the next record.
    pub fn new(
        spool: Spool<D>,
        assembler: Assembler,
        recovered: Option<&Recovered>,
        now: Timestamp,
    ) -> Self {
        let covered = spool.durable_size();
        let mut engine = Self {
            spool,
            assembler,
            coalescer: Coalescer::default(),
            losses: BTreeMap::new(),
            waiting: Vec::new(),
            pending_since: None,
            clock_offset: None,
            checkpoints: Checkpoints { covered, ..Checkpoints::default() },
            lost: BTreeMap::new(),
            has_boot: false,
        };
        engine.watch_clock(now);
        if let Some(json) = recovered.and_then(|recovered| recovered.to_json().ok()) {
            engine.keep(Class::Log, Kind::Recovered, json.as_bytes(), now);
        }
        engine
    }

    /// The spool, for reading.
    pub fn spool(&self) -> &Spool<D> {
        &self.spool
    }

    /// Records that were lost since the start, by cause.
    pub fn lost(&self) -> &BTreeMap<LossCause, u64> {
        &self.lost
    }

    /// Messages of the kernel.
    pub fn kernel(&mut self, batch: &Batch, now: Timestamp) {
        self.watch_clock(now);
        for (kind, payload) in batch.messages() {
            self.assembler.push(kind, payload, now.boottime_ns);
            self.take_events(now);
        }
    }

    fn take_events(&mut self, now: Timestamp) {
        while let Some(output) = self.assembler.pop() {
            match output {
                Output::Event(event) => {
                    let class = kernel::classify(&event);
                    let kind = Kind::KernelEvent;
                    let payload = event.as_payload();
                    let entry = Entry { class, kind, time: now, payload };
                    if let Err(refused) = self.spool.append(entry) {
                        let cause = cause_of(refused);
                        *self.losses.entry(cause).or_default() += 1;
                        *self.lost.entry(cause).or_default() += 1;
                    } else {
                        self.pending_since.get_or_insert(now.boottime_ns);
                        self.checkpoints.since.get_or_insert(now.boottime_ns);
                    }
                }
                Output::Loss(loss) => {
                    *self.lost.entry(loss.cause).or_default() += loss.count;
                    if let Ok(json) = loss.to_json() {
                        append(
                            &mut self.spool,
                            Entry {
                                class: Class::Log,
                                kind: Kind::Loss,
                                time: now,
                                payload: json.as_bytes(),
                            },
                            &mut self.losses,
                        );
                        self.pending_since.get_or_insert(now.boottime_ns);
                    }
                }
            }
        }
    }

    /// A record of an operation. The answer to `who` comes from [`Self::commit`], or at once where
    /// there is nothing to wait for.
    pub fn operation(&mut self, record: &Record, who: W, now: Timestamp) -> Option<(W, Kept)> {
        if !self.coalescer.takes(&record.record, now.boottime_ns) {
            return Some((who, Kept::Counted));
        }
        let json = match record.record.to_json() {
            Ok(json) => json,
            Err(error) => return Some((who, Kept::Not(error.to_string()))),
        };
        let time = now;
        let (class, kind, payload) = (record.class, Kind::Operation, json.as_bytes());
        match self.spool.append(Entry { class, kind, time, payload }) {
            Ok(sequence) => {
                self.waiting.push((sequence, who));
                self.pending_since.get_or_insert(now.boottime_ns);
                self.checkpoints.since.get_or_insert(now.boottime_ns);
                None
            }
            Err(refused) => Some((who, Kept::Not(refused.to_string()))),
        }
    }

    /// A start of the device, and what ties its checkpoints to the TPM.
    pub fn boot(&mut self, boot: &Boot, binding: Option<BootBinding>, now: Timestamp) {
        if let Ok(json) = boot.to_json() {
            self.keep(Class::System, Kind::Boot, json.as_bytes(), now);
            self.has_boot = true;
        }
        self.bind(binding);
    }

    /// What ties this boot's first checkpoint to the TPM.
    pub fn bind(&mut self, binding: Option<BootBinding>) {
        self.checkpoints.binding = binding;
    }

    /// This boot's first checkpoint is in the log already: an earlier run of the daemon wrote it.
    pub fn is_bound(&mut self) {
        self.checkpoints.is_bound = true;
    }

    /// A loss that somebody else noticed.
    pub fn lost_records(&mut self, cause: LossCause, count: u64) {
        *self.losses.entry(cause).or_default() += count;
        *self.lost.entry(cause).or_default() += count;
    }

    /// Lets time pass: events that waited long enough, counts, a clock that was set, losses.
    pub fn tick(&mut self, now: Timestamp) {
        self.watch_clock(now);
        self.assembler.tick(now.boottime_ns);
        self.take_events(now);
        for loss in self.coalescer.tick(now.boottime_ns) {
            self.keep_loss(&loss, now);
        }
        for (cause, count) in std::mem::take(&mut self.losses) {
            self.keep_loss(&Loss::new(cause, count), now);
        }
    }

    /// When [`Self::tick`] or [`Self::commit`] has something to do, `CLOCK_BOOTTIME`.
    pub fn next_deadline(&self) -> Option<u64> {
        let pending = self.pending_since.map(|since| since.saturating_add(GROUP_NS));
        let checkpoint = self.checkpoints.due();
        let others = [self.assembler.next_deadline(), self.coalescer.next_deadline()];
        others.into_iter().chain([pending, checkpoint]).flatten().min()
    }

    /// Whether the records that wait must be written now.
    pub fn is_commit_due(&self, now: u64) -> bool {
        !self.waiting.is_empty()
            || self.spool.pending_len() >= GROUP_BYTES
            || self.pending_since.is_some_and(|since| now >= since.saturating_add(GROUP_NS))
    }

    /// Writes what waits; who waited for it, with what came of it.
    pub fn commit(&mut self) -> (Vec<(W, Kept)>, Result<(), SpoolError>) {
        self.pending_since = None;
        let waiting = std::mem::take(&mut self.waiting);
        match self.spool.commit() {
            Ok(()) => {
                let kept = waiting.into_iter().map(|(sequence, who)| (who, Kept::As(sequence)));
                (kept.collect(), Ok(()))
            }
            Err(error) => {
                let SpoolError::Commit { records, cause } = &error else {
                    return (Vec::new(), Err(error));
                };
                // Who waits is told; the others are lost.
                let untold = records.saturating_sub(waiting.len() as u64);
                if untold > 0 {
                    self.lost_records(LossCause::WriteFailed, untold);
                }
                let why = cause.to_string();
                let kept = waiting.into_iter().map(|(_, who)| (who, Kept::Not(why.clone())));
                (kept.collect(), Err(error))
            }
        }
    }

    /// The checkpoint to sign, where one is due. It is given once, until it was
    /// [signed](Self::signed) or [not](Self::not_signed).
    pub fn checkpoint(&mut self, now: u64) -> Option<Checkpoint> {
        let size = self.spool.durable_size();
        let added = size.saturating_sub(self.checkpoints.covered);
        let due = self.checkpoints.due()?;
        let is_due = now >= due || (self.checkpoints.is_bound && added >= CHECKPOINT_RECORDS);
        if added == 0 || !is_due {
            return None;
        }
        let boot = self.checkpoints.binding.filter(|_| !self.checkpoints.is_bound);
        self.checkpoints.is_asked = true;
        Some(self.spool.durable().checkpoint(boot))
    }

    /// Whether the next checkpoint is to be made as soon as there are records, as at the end.
    pub fn hasten(&mut self) {
        self.checkpoints.since = self.checkpoints.since.map(|_| 0);
    }

    /// A signed checkpoint, as its note.
    pub fn signed(&mut self, note: &str, is_bound: bool, now: Timestamp) {
        self.checkpoints.is_asked = false;
        self.keep(Class::Log, Kind::Checkpoint, note.as_bytes(), now);
        self.checkpoints.since = None;
        self.checkpoints.covered = self.spool.log().size();
        self.checkpoints.signed = Some(self.checkpoints.covered);
        self.checkpoints.is_bound |= is_bound;
    }

    /// A checkpoint could not be signed: another one is due in a while.
    pub fn not_signed(&mut self, now: u64) {
        self.checkpoints.is_asked = false;
        self.checkpoints.since = Some(now);
        self.checkpoints.not_before = now.saturating_add(RETRY_NS);
    }

    /// Deletes what the cloud has.
    pub fn release(&mut self, size: u64) -> Result<(), SpoolError> {
        self.spool.release(size)
    }

    /// Goes on with another log, into which goes what the cloud has not got. Nothing may wait for a
    /// commit. Where it fails, the spool must be opened again.
    pub fn replace(mut self, origin: &Origin, carry: &Carry) -> Result<Self, SpoolError> {
        self.spool = self.spool.replace(origin, carry)?;
        self.checkpoints = Checkpoints {
            binding: self.checkpoints.binding,
            // What was carried over is without a checkpoint.
            since: Some(0),
            ..Checkpoints::default()
        };
        Ok(self)
    }

    /// Size of the log in the last checkpoint of this run.
    pub fn signed_size(&self) -> Option<u64> {
        self.checkpoints.signed
    }

    /// Whether this run put the boot's record into the log.
    pub fn has_boot(&self) -> bool {
        self.has_boot
    }

    /// Whether this boot's first checkpoint is in the log.
    pub fn has_bound(&self) -> bool {
        self.checkpoints.is_bound
    }

    /// The serial number up to which the log has every event of the kernel, or says that it is lost.
    pub fn kept_serial(&self) -> Option<u32> {
        self.assembler.last_serial()
    }

    /// Ends: everything that is open goes into the log.
    pub fn finish(&mut self, now: Timestamp) {
        self.assembler.flush();
        self.take_events(now);
        for loss in self.coalescer.flush() {
            self.keep_loss(&loss, now);
        }
        self.tick(now);
    }

    fn keep_loss(&mut self, loss: &Loss, now: Timestamp) {
        if let Ok(json) = loss.to_json() {
            self.keep(Class::Log, Kind::Loss, json.as_bytes(), now);
        }
    }

    fn keep(&mut self, class: Class, kind: Kind, payload: &[u8], now: Timestamp) {
        let entry = Entry { class, kind, time: now, payload };
        append(&mut self.spool, entry, &mut self.losses);
        self.pending_since.get_or_insert(now.boottime_ns);
        self.checkpoints.since.get_or_insert(now.boottime_ns);
    }

    fn watch_clock(&mut self, now: Timestamp) {
        let offset = i128::from(now.realtime_ns) - i128::from(now.boottime_ns);
        let before = self.clock_offset.replace(offset);
        let Some(moved) = before.map(|before| offset - before) else { return };
        if moved.unsigned_abs() <= u128::from(CLOCK_STEP_NS) {
            // Slewing adds up, but is no step.
            return;
        }
        let expected = i128::from(now.realtime_ns) - moved;
        let step = ClockStep {
            before_ns: u64::try_from(expected).unwrap_or(0),
            after_ns: now.realtime_ns,
        };
        if let Ok(json) = step.to_json() {
            self.keep(Class::System, Kind::Clock, json.as_bytes(), now);
        }
    }
}

fn cause_of(refused: Refused) -> LossCause {
    match refused {
        Refused::Full { .. } => LossCause::SpoolFull,
        Refused::TooLong(_) => LossCause::Oversize,
    }
}

/// Appends a record of the log about itself; one that has no room is told when there is.
fn append<D: Disk>(spool: &mut Spool<D>, entry: Entry<'_>, losses: &mut BTreeMap<LossCause, u64>) {
    if let Err(refused) = spool.append(entry) {
        *losses.entry(cause_of(refused)).or_default() += 1;
    }
}

#[cfg(test)]
mod tests;
