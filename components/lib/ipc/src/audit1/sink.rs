//! Handing records in.

use std::time::Duration;

use holdfast_audit_log::AuditRecord;
use holdfast_audit_log::frame::Class;
use tokio::sync::OnceCell;
use zbus::Connection;

use super::{Audit1Proxy, BUS_NAME};
use crate::audit::{AuditError, AuditSink, JournalSink, Recorded};

/// Hands records to the audit daemon and waits until they are durable; then to the journal as well,
/// where people look first.
#[derive(Debug)]
pub struct AuditServiceSink {
    class: Class,
    connection: OnceCell<Connection>,
    journal: JournalSink,
}

impl AuditServiceSink {
    /// Longest wait for the audit daemon. A write to a slow flash card takes seconds.
    const PATIENCE: Duration = Duration::from_secs(15);

    /// A sink for records of this class. [`Self::connect`] says where the bus is.
    pub fn new(class: Class, journal: JournalSink) -> Self {
        Self { class, connection: OnceCell::new(), journal }
    }

    /// Records go out through this connection from now on. There is one per daemon: the audit
    /// daemon knows who writes by the process that opened it.
    pub fn connect(&self, connection: Connection) {
        // A second call changes nothing: both are connections of this process.
        let _ = self.connection.set(connection);
    }

    async fn hand_in(&self, record: &AuditRecord) -> Result<(), AuditError> {
        let failed = |cause: &dyn std::fmt::Display| AuditError::new(BUS_NAME, cause);
        let json = record.to_json().map_err(|error| failed(&error))?;
        let connection =
            self.connection.get().ok_or_else(|| failed(&"the bus is not there yet"))?;
        let call =
            async { Audit1Proxy::new(connection).await?.record(self.class.name(), &json).await };
        match tokio::time::timeout(Self::PATIENCE, call).await {
            Ok(answer) => answer.map(drop).map_err(|error| failed(&error)),
            Err(_) => Err(failed(&format!("no answer within {} s", Self::PATIENCE.as_secs()))),
        }
    }
}

impl AuditSink for AuditServiceSink {
    fn record<'a>(&'a self, record: &'a AuditRecord) -> Recorded<'a> {
        Box::pin(async move {
            self.hand_in(record).await?;
            // The record is kept; a journal that is full is its own trouble.
            if let Err(error) = self.journal.record(record).await {
                tracing::warn!("{error}");
            }
            Ok(())
        })
    }
}
