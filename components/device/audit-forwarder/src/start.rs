//! Going on where an earlier run in the same boot stopped: which records of this boot the log has,
//! and up to which event the kernel was read.
//!
//! A note in `/run` says so; it is written when records became durable. What became durable after it
//! was written, the log itself says.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use holdfast_audit_log::checkpoint::SignedCheckpoint;
use holdfast_audit_log::frame::{Frame, Kind};
use holdfast_audit_log::kernel::KernelEvent;
use holdfast_audit_log::segment::SegmentReader;
use holdfast_audit_log::{Boot, Loss, LossCause};
use serde::{Deserialize, Serialize};

use crate::spool::{Disk, Segment, Spool};

/// What is known of this boot's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    boot_id: String,
    /// Name of the log, and how many of its records are considered here.
    log: String,
    size: u64,
    /// The record of the start is in the log.
    is_recorded: bool,
    /// The first checkpoint is.
    is_bound: bool,
    /// Highest serial number of an event of the kernel.
    serial: Option<u32>,
    /// The kernel's own count of lost messages, as far as it is in the log.
    lost: u32,
}

/// The note in `/run`.
#[derive(Debug)]
pub struct BootMarker {
    path: PathBuf,
    known: Known,
}

impl BootMarker {
    /// Reads the note of an earlier run in the same boot, and from the log what became durable after
    /// it was written.
    pub fn open<D: Disk>(path: &Path, boot_id: &str, folder: &Path, spool: &Spool<D>) -> Self {
        let known = std::fs::read(path).ok().and_then(|json| serde_json::from_slice(&json).ok());
        let known = known.filter(|known: &Known| known.boot_id == boot_id);
        let is_first = known.is_none();
        let known =
            known.unwrap_or_else(|| Known { boot_id: boot_id.to_owned(), ..Known::default() });
        let mut marker = Self { path: path.to_owned(), known };
        if !is_first {
            marker.look_into(folder, spool.durable().origin().as_str());
        }
        spool.durable().origin().as_str().clone_into(&mut marker.known.log);
        marker.known.size = spool.durable_size();
        marker.write();
        marker
    }

    /// Whether the start is in the log.
    pub fn is_recorded(&self) -> bool {
        self.known.is_recorded
    }

    /// Whether this boot's first checkpoint is in the log.
    pub fn is_bound(&self) -> bool {
        self.known.is_bound
    }

    /// Highest serial number that the kernel gave an event which is in the log.
    pub fn serial(&self) -> Option<u32> {
        self.known.serial
    }

    /// Messages that the kernel lost, as far as the log says so.
    pub fn kernel_lost(&self) -> u32 {
        self.known.lost
    }

    /// Records became durable: says what the log has now.
    pub fn note(&mut self, has: &Durable<'_>) {
        let known = &mut self.known;
        if known.size == has.size && known.log == has.log {
            return;
        }
        has.log.clone_into(&mut known.log);
        known.size = has.size;
        known.is_recorded |= has.boot;
        known.is_bound |= has.bound;
        known.serial = known.serial.max(has.serial);
        known.lost = has.kernel_lost.unwrap_or(known.lost);
        self.write();
    }

    /// What is lost with this note is found again in the log.
    fn write(&self) {
        let new = self.path.with_extension("new");
        let written = serde_json::to_vec(&self.known).map_err(std::io::Error::from);
        let written = written.and_then(|json| {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&new)?.write_all(&json)?;
            std::fs::rename(&new, &self.path)
        });
        if let Err(error) = written {
            tracing::warn!("cannot write {}: {error}", self.path.display());
        }
    }

    fn look_into(&mut self, folder: &Path, log: &str) {
        // A log that was begun meanwhile holds records of other boots, whose numbers say nothing.
        let is_same = self.known.log == log;
        let from = if is_same { self.known.size } else { 0 };
        let segments = segments(folder);
        let start = segments.iter().rposition(|segment| segment.first <= from).unwrap_or(0);
        let mut serials = BTreeSet::new();
        for segment in segments.iter().skip(start) {
            let Ok(bytes) = std::fs::read(folder.join(segment.name())) else { continue };
            let Ok((_, frames)) = SegmentReader::new(&bytes) else { continue };
            for (decoded, _) in frames.flatten().filter(|(d, _)| d.frame.sequence >= from) {
                self.consider(&decoded.frame, is_same, &mut serials);
            }
        }
        // Up to the first number that is not there: what is behind it is told as lost too.
        self.known.serial = match self.known.serial.or_else(|| serials.pop_first()) {
            Some(mut serial) => {
                while serials.contains(&serial.wrapping_add(1)) {
                    serial = serial.wrapping_add(1);
                }
                Some(serial)
            }
            None => None,
        };
    }

    fn consider(&mut self, frame: &Frame<'_>, is_of_this_boot: bool, serials: &mut BTreeSet<u32>) {
        match frame.kind {
            Kind::KernelEvent if is_of_this_boot => {
                let event = KernelEvent::parse(frame.payload).ok();
                serials.extend(event.map(|event| event.id.serial));
            }
            Kind::Boot => {
                let boot = Boot::from_json(frame.payload).ok();
                self.known.is_recorded |=
                    boot.is_some_and(|boot| boot.boot_id.as_str() == self.known.boot_id);
            }
            Kind::Checkpoint if is_of_this_boot => {
                let note = SignedCheckpoint::parse(frame.payload).ok();
                self.known.is_bound |= note.is_some_and(|note| note.unverified().boot.is_some());
            }
            // The kernel's count at that time is at least this.
            Kind::Loss if is_of_this_boot => {
                let loss = Loss::from_json(frame.payload).ok();
                let loss = loss.filter(|loss| loss.cause == LossCause::KernelLost);
                let count = loss.and_then(|loss| u32::try_from(loss.count).ok()).unwrap_or(0);
                self.known.lost = self.known.lost.saturating_add(count);
            }
            _ => {}
        }
    }
}

/// What the log has, now that it is durable.
#[derive(Clone, Copy, Debug)]
pub struct Durable<'a> {
    /// Name of the log.
    pub log: &'a str,
    /// Records.
    pub size: u64,
    /// The record of the start is among them.
    pub boot: bool,
    /// The boot's first checkpoint is.
    pub bound: bool,
    /// Highest serial number of an event of the kernel.
    pub serial: Option<u32>,
    /// The kernel's count of lost messages, where the log says so now.
    pub kernel_lost: Option<u32>,
}

/// The segments of a folder, oldest first.
pub fn segments(spool: &Path) -> Vec<Segment> {
    let entries = std::fs::read_dir(spool).into_iter().flatten().flatten();
    let mut segments: Vec<Segment> =
        entries.filter_map(|entry| Segment::of_name(entry.file_name().to_str()?)).collect();
    segments.sort_unstable_by_key(|segment| segment.first);
    segments
}

#[cfg(test)]
mod tests {
    use holdfast_audit_log::frame::{Class, Timestamp};
    use holdfast_audit_log::kernel::{EventBuffer, EventId, Message, MessageType};
    use holdfast_audit_log::{Entry, Origin, Text};

    use super::*;
    use crate::spool::{Folder, Limits};

    const BOOT: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

    fn boot(id: &str) -> String {
        let boot = Boot {
            boot_id: Text::lossy(id),
            release: Text::lossy("1"),
            kernel: Text::lossy("6.12"),
            firmware: Text::lossy("EDK II"),
        };
        boot.to_json().unwrap()
    }

    fn event(serial: u32) -> Vec<u8> {
        let id = EventId { seconds: 1, milliseconds: 0, serial };
        let mut buffer = EventBuffer::new(id);
        buffer.push(Message { kind: MessageType(1300), text: b"a=1" });
        buffer.event().as_payload().to_vec()
    }

    fn append(folder: &Path, records: &[(Kind, Vec<u8>)]) -> Spool<Folder> {
        let origin = || Origin::new("holdfast/audit/00").unwrap();
        let (mut spool, _) = Spool::open(Folder::new(folder), Limits::default(), origin).unwrap();
        for (kind, payload) in records {
            let time = Timestamp::default();
            spool.append(Entry { class: Class::System, kind: *kind, time, payload }).unwrap();
        }
        spool.commit().unwrap();
        spool
    }

    #[test]
    fn a_run_that_was_killed_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boot.json");
        let log = folder.path().join("log");
        std::fs::create_dir(&log).unwrap();
        let old = [(Kind::Boot, boot("another").into()), (Kind::KernelEvent, event(900))];
        let spool = append(&log, &old);
        let open = |spool: &Spool<Folder>| BootMarker::open(&path, BOOT, &log, spool);

        // The first start in a boot: nothing of the log is of it.
        let marker = open(&spool);
        assert_eq!(
            (marker.is_recorded(), marker.is_bound(), marker.serial()),
            (false, false, None)
        );

        // Killed after the records were durable and before the note said so.
        let lost = Loss::new(LossCause::KernelLost, 3).to_json().unwrap();
        let new = [
            (Kind::KernelEvent, event(17)),
            (Kind::Boot, boot(BOOT).into()),
            (Kind::Loss, lost.into()),
        ];
        let spool = append(&log, &new);
        let mut marker = open(&spool);
        assert_eq!((marker.is_recorded(), marker.is_bound()), (true, false));
        assert_eq!((marker.serial(), marker.kernel_lost()), (Some(17), 3));
        let has = Durable {
            log: spool.log().origin().as_str(),
            size: 9,
            boot: false,
            bound: true,
            serial: Some(40),
            kernel_lost: Some(5),
        };
        marker.note(&has);

        let marker = open(&spool);
        assert_eq!((marker.is_recorded(), marker.is_bound()), (true, true));
        assert_eq!((marker.serial(), marker.kernel_lost()), (Some(40), 5));
        // Another boot.
        let marker = BootMarker::open(&path, "next", &log, &spool);
        assert_eq!((marker.is_recorded(), marker.serial(), marker.kernel_lost()), (false, None, 0));
    }

    #[test]
    fn a_note_that_cannot_be_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boot.json");
        std::fs::write(&path, b"{").unwrap();
        let spool = append(folder.path(), &[]);
        assert!(!BootMarker::open(&path, BOOT, folder.path(), &spool).is_recorded());
    }
}
