//! Audit records of what the device does to its own identity. What callers ask for is recorded
//! where they are authorized.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use holdfast_audit_log::{Action, Actor, AuditRecord, Error, Source, Text};
use holdfast_ipc::AuditSink;
use holdfast_ipc::audit::AuditError;
use time::OffsetDateTime;
use tokio::sync::Mutex;

/// A new certificate was issued and stored.
pub const ENROL: &str = "identity.enrol";
/// A new key and its certificate took the place of the ones before.
pub const ACTIVATE: &str = "identity.activate";
/// The device left the site to which it belonged, which let it go.
pub const TRANSFER: &str = "identity.transfer";
/// A root that took over from a trusted one is trusted from now on.
pub const TRUST_ROOT: &str = "identity.trust-root";

/// Records that wait for the log at most; beyond that the oldest is told in the journal alone.
const WAITING: usize = 256;
/// How often they are tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Writes the records of the daemon's own acts.
#[derive(Clone)]
pub struct Recorder {
    source: Source,
    sink: Arc<dyn AuditSink>,
    /// What the log did not take, in order.
    waiting: Arc<Mutex<VecDeque<AuditRecord>>>,
}

impl Recorder {
    /// A recorder of the daemon with this short name.
    pub fn new(daemon: &str, sink: Arc<dyn AuditSink>) -> Result<Self, Error> {
        Ok(Self { source: Source::device(daemon)?, sink, waiting: Arc::default() })
    }

    /// Hands in what the log did not take at first. Never returns.
    pub async fn run(&self) {
        loop {
            tokio::time::sleep(TRY_AGAIN).await;
            // What is wrong was said when it began.
            let _ = self.hand_in(&mut *self.waiting.lock().await).await;
        }
    }

    async fn hand_in(&self, waiting: &mut VecDeque<AuditRecord>) -> Result<(), AuditError> {
        while let Some(record) = waiting.front() {
            self.sink.record(record).await?;
            waiting.pop_front();
        }
        Ok(())
    }

    /// Records an act that was done. There is nobody to refuse it to: a record that the log does not
    /// take waits until it does.
    pub async fn done(&self, action: &'static str, target: &str, arguments: &[&[u8]]) {
        let record = match Action::new(action) {
            Ok(action) => AuditRecord::new(
                OffsetDateTime::now_utc(),
                self.source.clone(),
                Actor::system(),
                action,
                Text::lossy(target),
            )
            .with_arguments(arguments),
            Err(error) => {
                tracing::error!("{action}: {error}");
                return;
            }
        };
        let mut waiting = self.waiting.lock().await;
        waiting.push_back(record);
        if let Err(error) = self.hand_in(&mut waiting).await {
            tracing::error!("{error}; it is tried again");
        }
        if waiting.len() > WAITING
            && let Some(lost) = waiting.pop_front()
        {
            tracing::error!("a record of {} is not in the audit log", lost.action());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use holdfast_ipc::audit::Recorded;

    use super::*;

    #[derive(Default)]
    struct Memory {
        records: Mutex<Vec<String>>,
        is_full: AtomicBool,
    }

    impl AuditSink for Memory {
        fn record<'a>(&'a self, record: &'a AuditRecord) -> Recorded<'a> {
            if self.is_full.load(Ordering::Relaxed) {
                return Box::pin(std::future::ready(Err(AuditError::new("memory", &"full"))));
            }
            let text = format!("{} {} {}", record.source(), record.action(), record.target());
            self.records.lock().unwrap().push(text);
            Box::pin(std::future::ready(Ok(())))
        }
    }

    #[tokio::test]
    async fn acts_are_recorded_in_order_even_if_the_log_is_not_there_at_first() {
        let sink = Arc::new(Memory::default());
        let recorder = Recorder::new("enroller", sink.clone()).unwrap();
        sink.is_full.store(true, Ordering::Relaxed);
        recorder.done(ENROL, "some-device", &[b"01"]).await;
        sink.is_full.store(false, Ordering::Relaxed);
        recorder.done(ACTIVATE, "some-device", &[b"01"]).await;
        let both = [
            "device:enroller identity.enrol some-device",
            "device:enroller identity.activate some-device",
        ];
        assert_eq!(*sink.records.lock().unwrap(), both);

        sink.is_full.store(true, Ordering::Relaxed);
        recorder.done(TRANSFER, "some-device", &[]).await;
        sink.is_full.store(false, Ordering::Relaxed);
        tokio::time::pause();
        tokio::select! {
            () = recorder.run() => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
        let all = sink.records.lock().unwrap().clone();
        assert_eq!(all[..2], both);
        assert_eq!(all[2..], ["device:enroller identity.transfer some-device"], "once");
    }
}
