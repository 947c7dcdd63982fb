//! Audit records of what the device does to its own identity. What callers ask for is recorded
//! where they are authorized.

mod waiting;

use std::sync::Arc;
use std::time::Duration;

use holdfast_audit_log::{Action, Actor, AuditRecord, Error, Source, Text};
use holdfast_ipc::AuditSink;
use holdfast_ipc::audit::AuditError;
use time::OffsetDateTime;
use tokio::sync::Mutex;

pub use waiting::OpenDisk;
use waiting::Waiting;

/// A new certificate was issued and stored.
pub const ENROL: &str = "identity.enrol";
/// A new key and its certificate took the place of the ones before.
pub const ACTIVATE: &str = "identity.activate";
/// The device left the site to which it belonged, which let it go.
pub const TRANSFER: &str = "identity.transfer";
/// A root that took over from a trusted one is trusted from now on.
pub const TRUST_ROOT: &str = "identity.trust-root";

/// So many records of acts there was no room for, or they could not be read.
const LOST: &str = "identity.records-lost";
/// How often they are tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Writes the records of the daemon's own acts.
#[derive(Clone)]
pub struct Recorder {
    source: Source,
    sink: Arc<dyn AuditSink>,
    /// What the log did not take, in order.
    waiting: Arc<Mutex<Waiting>>,
}

impl Recorder {
    /// A recorder of the daemon with this short name. What waits for the log is kept in a folder.
    pub fn new(daemon: &str, sink: Arc<dyn AuditSink>, open: OpenDisk) -> Result<Self, Error> {
        let waiting = Arc::new(Mutex::new(Waiting::new(open)));
        Ok(Self { source: Source::device(daemon)?, sink, waiting })
    }

    /// Hands in what an earlier run left, and what the log did not take at first. Never returns.
    pub async fn run(&self) {
        let mut was_told = false;
        loop {
            let mut waiting = self.waiting.lock().await;
            if let Err(error) = waiting.load()
                && !std::mem::replace(&mut was_told, true)
            {
                tracing::error!("what waits for the audit log cannot be read: {error}");
            }
            // What is wrong was said when it began.
            let _ = self.hand_in(&mut waiting).await;
            drop(waiting);
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    async fn hand_in(&self, waiting: &mut Waiting) -> Result<(), AuditError> {
        let result = self.hand_in_all(waiting).await;
        save(waiting);
        result
    }

    async fn hand_in_all(&self, waiting: &mut Waiting) -> Result<(), AuditError> {
        while let Some(record) = waiting.first() {
            self.sink.record(record).await?;
            waiting.pop();
        }
        let lost = waiting.lost();
        if lost > 0
            && let Some(record) = self.record(LOST, &lost.to_string(), &[])
        {
            self.sink.record(&record).await?;
            waiting.told(lost);
        }
        Ok(())
    }

    fn record(
        &self,
        action: &'static str,
        target: &str,
        arguments: &[&[u8]],
    ) -> Option<AuditRecord> {
        let (now, source) = (OffsetDateTime::now_utc(), self.source.clone());
        match Action::new(action) {
            Ok(action) => Some(
                AuditRecord::new(now, source, Actor::system(), action, Text::lossy(target))
                    .with_arguments(arguments),
            ),
            Err(error) => {
                tracing::error!("{action}: {error}");
                None
            }
        }
    }

    /// Records an act that was done. There is nobody to refuse it to: a record that the log does not
    /// take waits until it does, on disk.
    pub async fn done(&self, action: &'static str, target: &str, arguments: &[&[u8]]) {
        let Some(record) = self.record(action, target, arguments) else { return };
        let mut waiting = self.waiting.lock().await;
        if !waiting.push(record) {
            tracing::error!("too much waits for the audit log: {action} is only counted there");
        }
        save(&mut waiting);
        if let Err(error) = self.hand_in(&mut waiting).await {
            tracing::error!("{error}; it is tried again");
        }
    }
}

fn save(waiting: &mut Waiting) {
    if let Err(error) = waiting.save() {
        tracing::error!("what waits for the audit log is not on disk: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use holdfast_ipc::audit::Recorded;

    use super::*;
    use crate::disk::simulated::{SimulatedDisk, Unsynced};

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

    fn on(disk: &SimulatedDisk, sink: &Arc<Memory>) -> Recorder {
        let disk = disk.clone();
        let open: OpenDisk = Box::new(move || Ok(Box::new(disk.clone())));
        Recorder::new("enroller", sink.clone(), open).unwrap()
    }

    #[tokio::test]
    async fn acts_are_recorded_in_order_even_if_the_log_is_not_there_at_first() {
        let sink = Arc::new(Memory::default());
        let disk = SimulatedDisk::default();
        let recorder = on(&disk, &sink);
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

    #[tokio::test]
    async fn an_act_whose_record_the_log_did_not_take_is_recorded_after_a_crash() {
        let (disk, sink) = (SimulatedDisk::default(), Arc::new(Memory::default()));
        sink.is_full.store(true, Ordering::Relaxed);
        on(&disk, &sink).done(ENROL, "some-device", &[b"01"]).await;
        let disk = disk.after_cut(Unsynced::Lost);
        sink.is_full.store(false, Ordering::Relaxed);
        on(&disk, &sink).done(ACTIVATE, "some-device", &[b"01"]).await;
        let both = [
            "device:enroller identity.enrol some-device",
            "device:enroller identity.activate some-device",
        ];
        assert_eq!(*sink.records.lock().unwrap(), both);
        on(&disk.after_cut(Unsynced::Lost), &sink).done(TRANSFER, "away", &[]).await;
        assert_eq!(sink.records.lock().unwrap().len(), 3, "each once");
    }

    #[tokio::test]
    async fn how_many_records_there_was_no_room_for_is_recorded() {
        let (disk, sink) = (SimulatedDisk::default(), Arc::new(Memory::default()));
        sink.is_full.store(true, Ordering::Relaxed);
        let recorder = on(&disk, &sink);
        for _ in 0..waiting::MOST + 2 {
            recorder.done(ENROL, "some-device", &[]).await;
        }
        sink.is_full.store(false, Ordering::Relaxed);
        recorder.hand_in(&mut *recorder.waiting.lock().await).await.unwrap();
        let records = sink.records.lock().unwrap().clone();
        assert_eq!(records.len(), waiting::MOST + 1);
        assert_eq!(records.last().unwrap(), "device:enroller identity.records-lost 2");
    }
}
