//! Audit records of what the device does to its own identity. What callers ask for is recorded
//! where they are authorized.

use std::sync::Arc;

use holdfast_audit_log::{Action, Actor, AuditRecord, Error, Source, Text};
use holdfast_ipc::AuditSink;
use time::OffsetDateTime;

/// A new certificate was issued and stored.
pub const ENROL: &str = "identity.enrol";
/// A new key and its certificate took the place of the ones before.
pub const ACTIVATE: &str = "identity.activate";
/// The device left the site to which it belonged, which let it go.
pub const TRANSFER: &str = "identity.transfer";
/// A root that took over from a trusted one is trusted from now on.
pub const TRUST_ROOT: &str = "identity.trust-root";

/// Writes the records of the daemon's own acts.
#[derive(Clone)]
pub struct Recorder {
    source: Source,
    sink: Arc<dyn AuditSink>,
}

impl Recorder {
    /// A recorder of the daemon with this short name.
    pub fn new(daemon: &str, sink: Arc<dyn AuditSink>) -> Result<Self, Error> {
        Ok(Self { source: Source::device(daemon)?, sink })
    }

    /// Records an act that was done. There is nobody to refuse it to: a record that cannot be
    /// written is an error in the log.
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
        if let Err(error) = self.sink.record(&record).await {
            tracing::error!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use holdfast_ipc::audit::{AuditError, Recorded};

    use super::*;

    #[derive(Default)]
    struct Memory(Mutex<Vec<String>>);

    impl AuditSink for Memory {
        fn record<'a>(&'a self, record: &'a AuditRecord) -> Recorded<'a> {
            let text = format!("{} {} {}", record.source(), record.action(), record.target());
            self.0.lock().unwrap().push(text);
            Box::pin(std::future::ready(Err(AuditError::new("memory", &"full"))))
        }
    }

    #[tokio::test]
    async fn acts_are_recorded_and_a_full_log_stops_nothing() {
        let sink = Arc::new(Memory::default());
        let recorder = Recorder::new("enroller", sink.clone()).unwrap();
        recorder.done(ENROL, "some-device", &[b"01"]).await;
        recorder.done(ACTIVATE, "some-device", &[b"01"]).await;
        assert_eq!(
            *sink.0.lock().unwrap(),
            [
                "device:enroller identity.enrol some-device",
                "device:enroller identity.activate some-device"
            ]
        );
    }
}
