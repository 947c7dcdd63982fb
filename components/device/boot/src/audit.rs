//! Audit records of boots and of what is done to the state volume.

use std::{
    io,
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use holdfast_audit_log::{Action, Actor, AuditRecord, Source, Text};
use time::OffsetDateTime;

use crate::places::Places;

const DAEMON: &str = "boot";
const JOURNAL: &str = "run/systemd/journal/socket";

/// The device booted.
pub const BOOT: &str = "boot.start";
/// A recovery key was made.
pub const MAKE_RECOVERY_KEY: &str = "var.make-recovery-key";
/// The state volume was opened with a recovery key.
pub const UNLOCK: &str = "var.unlock";
/// It was sealed again, and has a new recovery key.
pub const RECOVER: &str = "var.recover";

/// A record of an act on a volume, or of a boot, as JSON. Who acted at a console is not known to the
/// device.
pub fn record(action: &str, target: &str, arguments: &[&[u8]]) -> Result<String, String> {
    let text = |error: holdfast_audit_log::Error| error.to_string();
    AuditRecord::new(
        OffsetDateTime::now_utc(),
        Source::device(DAEMON).map_err(text)?,
        Actor::system(),
        Action::new(action).map_err(text)?,
        Text::lossy(target),
    )
    .with_arguments(arguments)
    .to_json()
    .map_err(text)
}

/// Writes a record to the journal in its native protocol, with the fields that all our daemons give
/// their records.
pub fn to_journal(places: &Places, record: &str, patience: Duration) -> Result<(), String> {
    let parsed = AuditRecord::from_json(record).map_err(|error| error.to_string())?;
    let entry = format!(
        "MESSAGE={} {}\nPRIORITY=5\nSYSLOG_IDENTIFIER=holdfast-{DAEMON}\nHOLDFAST_AUDIT=1\n\
         HOLDFAST_RECORD={record}\n",
        parsed.action(),
        parsed.target()
    );
    let path = places.at(JOURNAL);
    let send = || -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(patience))?;
        socket.send_to(entry.as_bytes(), &path).map(drop)
    };
    let begun = Instant::now();
    loop {
        match send() {
            Ok(()) => return Ok(()),
            Err(error)
                if error.kind() == io::ErrorKind::Interrupted && begun.elapsed() < patience => {}
            Err(error) => {
                let place = path.display();
                return Err(format!("the audit record could not be written to {place}: {error}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_gets_the_record_in_a_field_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::from_options(&[format!("--root={}", root.path().display())]).unwrap();
        let record = record(RECOVER, "6b1e2a34", &[b"1"]).unwrap();
        let patience = Duration::from_secs(5);
        assert!(to_journal(&places, &record, patience).unwrap_err().contains("journal/socket"));
        std::fs::create_dir_all(places.at(JOURNAL).parent().unwrap()).unwrap();
        let journal = UnixDatagram::bind(places.at(JOURNAL)).unwrap();
        to_journal(&places, &record, patience).unwrap();
        let mut bytes = [0; 4096];
        let length = journal.recv(&mut bytes).unwrap();
        let entry = std::str::from_utf8(&bytes[..length]).unwrap();
        assert!(entry.contains("\nHOLDFAST_AUDIT=1\n"), "{entry}");
        let kept = entry.lines().find_map(|line| line.strip_prefix("HOLDFAST_RECORD=")).unwrap();
        assert_eq!(AuditRecord::from_json(kept).unwrap().action().as_str(), RECOVER);
        assert!(to_journal(&places, "{}", patience).is_err());
    }
}
