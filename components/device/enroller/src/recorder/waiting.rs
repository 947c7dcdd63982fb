//! Records on their way to the log, on disk: what was done and not yet recorded outlasts a crash.
//!
//! A record is removed after the log took it. Who dies in between hands it in again: two records
//! that are equal to the byte are one act.

use std::collections::VecDeque;
use std::io;

use holdfast_audit_log::AuditRecord;
use serde::{Deserialize, Serialize};

use crate::disk::Disk;

/// In the enroller's state folder.
const FILE: &str = "records.json";
/// Not of the store's, which removes its own at its start.
const NEW: &str = "records.new";
/// What cannot be read stays for people to see.
const DAMAGED: &str = "records.damaged";
/// Records at most; what comes then is counted.
pub(super) const MOST: usize = 256;

/// Opens the folder, which may not be there at first.
pub type OpenDisk = Box<dyn Fn() -> io::Result<Box<dyn Disk>> + Send>;

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Records that there was no room for, or that could not be read.
    lost: u64,
    /// Each in its own JSON, in order.
    records: Vec<String>,
}

/// Records that wait.
pub(super) struct Waiting {
    open: OpenDisk,
    disk: Option<Box<dyn Disk>>,
    records: VecDeque<AuditRecord>,
    lost: u64,
    is_saved: bool,
}

impl Waiting {
    pub(super) fn new(open: OpenDisk) -> Self {
        Self { open, disk: None, records: VecDeque::new(), lost: 0, is_saved: true }
    }

    /// Takes what an earlier run left, once.
    pub(super) fn load(&mut self) -> io::Result<()> {
        if self.disk.is_some() {
            return Ok(());
        }
        let mut disk = (self.open)()?;
        if let Some(content) = disk.read(FILE)? {
            let (records, lost) = parse(&content);
            if lost > 0 {
                tracing::error!("{FILE}: what waited for the audit log cannot all be read");
                disk.rename(FILE, DAMAGED).and_then(|()| disk.sync_folder())?;
            }
            // What came before the folder could be opened is younger.
            let younger = std::mem::replace(&mut self.records, records.into());
            self.records.extend(younger);
            self.lost = self.lost.saturating_add(lost);
            self.is_saved = false;
        }
        self.disk = Some(disk);
        Ok(())
    }

    /// Adds a record. False where there is no room: it is counted.
    pub(super) fn push(&mut self, record: AuditRecord) -> bool {
        self.is_saved = false;
        if self.records.len() >= MOST {
            self.lost = self.lost.saturating_add(1);
            return false;
        }
        self.records.push_back(record);
        true
    }

    /// The oldest.
    pub(super) fn first(&self) -> Option<&AuditRecord> {
        self.records.front()
    }

    /// The log has the oldest.
    pub(super) fn pop(&mut self) {
        self.is_saved = self.records.pop_front().is_none() && self.is_saved;
    }

    /// How many are lost, for a record that says so.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// The log has the record that says so.
    pub(super) fn told(&mut self, count: u64) {
        self.lost = self.lost.saturating_sub(count);
        self.is_saved = false;
    }

    /// Makes it durable, where something changed.
    pub(super) fn save(&mut self) -> io::Result<()> {
        if self.is_saved {
            return Ok(());
        }
        self.load()?;
        let Some(disk) = &mut self.disk else { return Ok(()) };
        if self.records.is_empty() && self.lost == 0 {
            disk.remove(FILE)?;
        } else {
            let json = |record: &AuditRecord| record.to_json().map_err(io::Error::other);
            let records = self.records.iter().map(json).collect::<io::Result<_>>()?;
            let kept = serde_json::to_vec(&Kept { lost: self.lost, records })?;
            disk.write(NEW, &kept)?;
            disk.sync(NEW)?;
            disk.rename(NEW, FILE)?;
        }
        disk.sync_folder()?;
        self.is_saved = true;
        Ok(())
    }
}

/// The records of a file, and how many are lost at least.
fn parse(content: &[u8]) -> (Vec<AuditRecord>, u64) {
    let Ok(kept) = serde_json::from_slice::<Kept>(content) else {
        return (Vec::new(), 1);
    };
    let records: Vec<_> =
        kept.records.iter().filter_map(|json| AuditRecord::from_json(json).ok()).collect();
    let unread = kept.records.len() - records.len();
    (records, kept.lost.saturating_add(unread as u64))
}

#[cfg(test)]
mod tests {
    use holdfast_audit_log::{Action, Actor, Source, Text};
    use time::OffsetDateTime;

    use super::*;
    use crate::disk::simulated::{SimulatedDisk, Unsynced};

    fn record(number: usize) -> AuditRecord {
        AuditRecord::new(
            OffsetDateTime::UNIX_EPOCH,
            Source::device("enroller").unwrap(),
            Actor::system(),
            Action::new("identity.enrol").unwrap(),
            Text::lossy(&number.to_string()),
        )
    }

    fn on(disk: &SimulatedDisk) -> Waiting {
        let disk = disk.clone();
        let mut waiting = Waiting::new(Box::new(move || Ok(Box::new(disk.clone()))));
        waiting.load().unwrap();
        waiting
    }

    fn targets(waiting: &Waiting) -> Vec<String> {
        waiting.records.iter().map(|record| record.target().to_owned()).collect()
    }

    #[test]
    fn what_was_saved_is_there_after_a_power_cut_at_any_step() {
        let whole = SimulatedDisk::default();
        let act = |disk: &SimulatedDisk| {
            let mut waiting = on(disk);
            waiting.push(record(1));
            waiting.save()?;
            waiting.push(record(2));
            waiting.save()?;
            waiting.pop();
            waiting.save()
        };
        act(&whole).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for cut in 0..=whole.operations() {
            let disk = SimulatedDisk::default();
            disk.cut_power_after(cut);
            let done = act(&disk).is_ok();
            for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn] {
                let found = on(&disk.after_cut(unsynced));
                assert_eq!(found.lost(), 0, "cut {cut} {unsynced:?}");
                let found = targets(&found);
                let is_a_state = [&[][..], &["1"], &["1", "2"], &["2"]].iter().any(|s| found == *s);
                assert!(is_a_state, "cut {cut} {unsynced:?}: {found:?}");
                assert!(!done || found == ["2"], "cut {cut} {unsynced:?}: {found:?}");
                seen.insert(found);
            }
        }
        assert_eq!(seen.len(), 4, "each state was seen: {seen:?}");
    }

    #[test]
    fn a_full_queue_keeps_the_oldest_and_counts_the_others() {
        let disk = SimulatedDisk::default();
        let mut waiting = on(&disk);
        for number in 0..MOST + 3 {
            assert_eq!(waiting.push(record(number)), number < MOST, "{number}");
        }
        waiting.save().unwrap();
        let mut waiting = on(&disk);
        assert_eq!((waiting.lost(), waiting.records.len()), (3, MOST));
        assert_eq!(waiting.first().unwrap().target(), "0");
        while waiting.first().is_some() {
            waiting.pop();
        }
        waiting.told(3);
        waiting.save().unwrap();
        assert_eq!(disk.read(FILE).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_stays_for_people_to_see() {
        let mut disk = SimulatedDisk::default();
        let mut waiting = on(&disk);
        waiting.push(record(1));
        waiting.save().unwrap();
        let good = disk.read(FILE).unwrap().unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            disk.write(FILE, &bad).unwrap();
            let found = on(&disk);
            assert_eq!((found.lost(), targets(&found)), (1, Vec::new()), "byte {at}");
            assert_eq!(disk.read(DAMAGED).unwrap(), Some(bad), "byte {at}");
        }
    }

    #[test]
    fn records_of_before_the_folder_could_be_opened_come_after_those_in_it() {
        let disk = SimulatedDisk::default();
        let mut waiting = on(&disk);
        waiting.push(record(1));
        waiting.save().unwrap();
        let opened = disk.clone();
        let mut waiting = Waiting::new(Box::new(move || Ok(Box::new(opened.clone()))));
        waiting.push(record(2));
        waiting.save().unwrap();
        assert_eq!(targets(&on(&disk)), ["1", "2"]);
    }
}
