//! Where audit records go.

use std::{
    future::Future,
    io::{self, Write as _},
    path::PathBuf,
    pin::Pin,
    time::Duration,
};

use holdfast_audit_log::{AuditRecord, Decision};
use tokio::net::UnixDatagram;

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
#[error("the audit record could not be written to {place}: {cause}")]
pub struct AuditError {
    place: String,
    cause: String,
}

impl AuditError {
    /// Names the place and the cause.
    pub fn new(place: impl Into<String>, cause: &dyn std::fmt::Display) -> Self {
        Self { place: place.into(), cause: cause.to_string() }
    }
}

/// What [`AuditSink::record`] returns.
pub type Recorded<'a> = Pin<Box<dyn Future<Output = Result<(), AuditError>> + Send + 'a>>;

/// Takes audit records. `Ok` means that the record is out of this process: a call is refused
/// where it is not.
pub trait AuditSink: Send + Sync {
    /// Hands over one record.
    fn record<'a>(&'a self, record: &'a AuditRecord) -> Recorded<'a>;
}

/// Writes records to the journal by its native protocol, with the fields `HOLDFAST_AUDIT=1` and
/// `HOLDFAST_RECORD=<json>`; to standard error where there is no journal.
#[derive(Clone, Debug)]
pub struct JournalSink {
    socket: PathBuf,
}

impl Default for JournalSink {
    fn default() -> Self {
        Self::at("/run/systemd/journal/socket")
    }
}

impl JournalSink {
    /// Longest wait for the journal to take a record.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// A journal that listens somewhere else.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    async fn send(&self, entry: &[u8]) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        let sent = tokio::time::timeout(Self::PATIENCE, socket.send_to(entry, &self.socket));
        sent.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map(|_| ())
    }

    async fn write(&self, record: &AuditRecord) -> Result<(), AuditError> {
        let place = self.socket.display().to_string();
        let json = record.to_json().map_err(|error| AuditError::new(&place, &error))?;
        match self.send(journal_entry(record, &json).as_bytes()).await {
            Ok(()) => Ok(()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                let mut stderr = io::stderr().lock();
                writeln!(stderr, "{json}")
                    .and_then(|()| stderr.flush())
                    .map_err(|error| AuditError::new("standard error", &error))
            }
            Err(error) => Err(AuditError::new(place, &error)),
        }
    }
}

impl AuditSink for JournalSink {
    fn record<'a>(&'a self, record: &'a AuditRecord) -> Recorded<'a> {
        Box::pin(self.write(record))
    }
}

/// One entry in the journal's native protocol (systemd, "Native Journal Protocol"). Every field
/// is one line: a record has no line ends.
fn journal_entry(record: &AuditRecord, json: &str) -> String {
    let actor = record.actor();
    let who = match (&actor.unit, actor.uid) {
        (Some(unit), Some(uid)) => format!("{unit} (uid {uid})"),
        (Some(unit), None) => unit.to_string(),
        (None, Some(uid)) => format!("uid {uid}"),
        (None, None) => "an unknown caller".to_owned(),
    };
    let (priority, decision) = match record.decision() {
        Decision::Allowed => (5, "allowed"),
        Decision::Denied => (4, "denied"),
    };
    let reason = record.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!(
        "MESSAGE={} {} for {who} {decision}{reason}\nPRIORITY={priority}\nSYSLOG_IDENTIFIER=holdfast-{}\n\
         HOLDFAST_AUDIT=1\nHOLDFAST_RECORD={json}\n",
        record.action(),
        record.target(),
        record.source().daemon().unwrap_or("cloud"),
    )
}

#[cfg(test)]
mod tests {
    use holdfast_audit_log::{Action, Actor, Source, Text};
    use time::macros::datetime;

    use super::*;

    fn record() -> AuditRecord {
        AuditRecord::new(
            datetime!(2025-11-22 10:00 UTC),
            Source::device("enroller").unwrap(),
            Actor::user(1000),
            Action::new("identity.sign").unwrap(),
            Text::new("tls").unwrap(),
        )
        .denied(Text::new("no role").unwrap())
    }

    #[tokio::test]
    async fn the_journal_gets_one_entry() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let record = record();
        JournalSink::at(&path).record(&record).await.unwrap();
        let mut entry = vec![0; 16384];
        let len = journal.recv(&mut entry).await.unwrap();
        let json = record.to_json().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&entry[..len]),
            format!(
                "MESSAGE=identity.sign tls for uid 1000 denied: no role\nPRIORITY=4\n\
                 SYSLOG_IDENTIFIER=holdfast-enroller\nHOLDFAST_AUDIT=1\nHOLDFAST_RECORD={json}\n"
            )
        );
    }

    #[tokio::test]
    async fn a_journal_that_cannot_be_reached_is_an_error_unless_it_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let absent = JournalSink::at(dir.path().join("absent"));
        assert!(absent.record(&record()).await.is_ok());
        let too_long = JournalSink::at(dir.path().join("x".repeat(200)));
        let error = too_long.record(&record()).await.unwrap_err().to_string();
        assert!(error.contains("could not be written"), "{error}");
    }
}
