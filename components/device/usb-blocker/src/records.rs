//! Audit records on their way to the log: in their order, each until it is durable there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use holdfast_audit_log::{Action, Actor, AuditRecord, Source, Text};
use holdfast_ipc::AuditSink;
use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::blocker::{Note, NoteOutcome};

/// How many records may wait. From half of it on nothing new is let in; beyond it they are counted.
const MOST_WAITING: usize = 4096;
/// How long the log is left alone after it refused.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes notes without ever waiting.
#[derive(Clone, Debug)]
pub struct Records {
    queue: mpsc::UnboundedSender<(OffsetDateTime, Note)>,
    count: Arc<Count>,
}

#[derive(Debug, Default)]
struct Count {
    waiting: AtomicUsize,
    lost: AtomicUsize,
}

/// Hands them in.
#[derive(Debug)]
pub struct Delivery {
    queue: mpsc::UnboundedReceiver<(OffsetDateTime, Note)>,
    count: Arc<Count>,
    source: Source,
}

impl Records {
    /// The queue and its far end, for the daemon of this name.
    pub fn new(daemon: &str) -> Result<(Self, Delivery), holdfast_audit_log::Error> {
        let source = Source::device(daemon)?;
        let (queue, receiver) = mpsc::unbounded_channel();
        let count = Arc::<Count>::default();
        let delivery = Delivery { queue: receiver, count: Arc::clone(&count), source };
        Ok((Self { queue, count }, delivery))
    }

    /// Whether records of further decisions can be taken.
    pub fn have_room(&self) -> bool {
        self.count.waiting.load(Ordering::Relaxed) < MOST_WAITING / 2
    }

    /// Takes a note.
    pub fn write(&self, note: Note) {
        if self.count.waiting.load(Ordering::Relaxed) >= MOST_WAITING {
            self.count.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.count.waiting.fetch_add(1, Ordering::Relaxed);
        // It fails only when the daemon ends.
        let _ = self.queue.send((OffsetDateTime::now_utc(), note));
    }
}

impl Delivery {
    /// Hands records in until the daemon ends.
    pub async fn run(mut self, sink: Arc<dyn AuditSink>) {
        while let Some((time, note)) = self.queue.recv().await {
            self.hand_in(&*sink, time, &note).await;
            self.count.waiting.fetch_sub(1, Ordering::Relaxed);
            let lost = self.count.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                let reason = format!("{lost} records were lost while the log took none");
                let outcome = NoteOutcome::Failed(reason);
                let note = Note { action: "usb.records", target: "usb".to_owned(), outcome };
                self.hand_in(&*sink, OffsetDateTime::now_utc(), &note).await;
            }
        }
    }

    async fn hand_in(&self, sink: &dyn AuditSink, time: OffsetDateTime, note: &Note) {
        let record = match self.record(time, note) {
            Ok(record) => record,
            Err(error) => return tracing::error!("{} is no record: {error}", note.action),
        };
        let mut is_told = false;
        while let Err(error) = sink.record(&record).await {
            if !core::mem::replace(&mut is_told, true) {
                tracing::warn!("{error}; tried until it is");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn record(
        &self,
        time: OffsetDateTime,
        note: &Note,
    ) -> Result<AuditRecord, holdfast_audit_log::Error> {
        let action = Action::new(note.action)?;
        let target = Text::lossy(&note.target);
        let record = AuditRecord::new(time, self.source.clone(), Actor::system(), action, target);
        Ok(match &note.outcome {
            NoteOutcome::Done => record,
            NoteOutcome::Denied(reason) => record.denied(Text::lossy(reason)),
            NoteOutcome::Failed(reason) => record.failed(Text::lossy(reason)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use holdfast_ipc::audit::{AuditError, Recorded};

    use super::*;

    #[derive(Default)]
    struct Log {
        records: Mutex<Vec<String>>,
        is_down: AtomicBool,
    }

    impl AuditSink for Log {
        fn record<'a>(&'a self, record: &'a AuditRecord) -> Recorded<'a> {
            let result = if self.is_down.load(Ordering::Relaxed) {
                Err(AuditError::new("the log", &"down"))
            } else {
                let reason = record.reason().unwrap_or_default();
                let line = format!("{} {} {reason}", record.action(), record.target());
                self.records.lock().unwrap().push(line);
                Ok(())
            };
            Box::pin(std::future::ready(result))
        }
    }

    fn note(target: &str) -> Note {
        let outcome = NoteOutcome::Denied("implicit".to_owned());
        Note { action: "usb.block", target: target.to_owned(), outcome }
    }

    #[tokio::test(start_paused = true)]
    async fn records_wait_for_the_log_in_their_order() {
        let (records, delivery) = Records::new("usb").unwrap();
        let log = Arc::new(Log::default());
        log.is_down.store(true, Ordering::Relaxed);
        let running = tokio::spawn(delivery.run(log.clone()));
        for index in 0..MOST_WAITING + 3 {
            records.write(note(&index.to_string()));
        }
        assert!(!records.have_room());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(log.records.lock().unwrap().is_empty());
        log.is_down.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(records.have_room());
        let written = log.records.lock().unwrap().clone();
        assert_eq!(written.len(), MOST_WAITING + 1);
        assert_eq!(written[0], "usb.block 0 implicit");
        assert_eq!(written[1], "usb.records usb 3 records were lost while the log took none");
        assert_eq!(written[2], "usb.block 1 implicit");
        drop(records);
        running.await.unwrap();
    }
}
