use std::io;
use std::path::{Path, PathBuf};

use super::recording::{Event, EventKind, Recording};
use super::store::OverlayStore;
use super::volatile::{CutReport, VolatileDisk};
use crate::disk::copy_sparse;
use crate::{Disk, Error, Result, Rng};

/// A recorded run of a device, walked event by event: the disk as it was at each moment, and as
/// a power cut at that moment could have left it. No boot is needed for that.
#[derive(Debug)]
pub struct Replay {
    base: PathBuf,
    recording: Recording,
    recording_path: PathBuf,
    disk: VolatileDisk<OverlayStore>,
    position: u64,
}

impl Replay {
    /// Starts before the first event. `base` is the disk image as it was when recording began.
    pub fn open(base: &Path, recording: &Path) -> Result<Self> {
        let size = base.metadata().map_err(Error::file("open", base))?.len();
        let store = OverlayStore::over(base, size).map_err(Error::file("open", base))?;
        Ok(Self {
            base: base.to_owned(),
            recording: Recording::open(recording).map_err(Error::file("open", recording))?,
            recording_path: recording.to_owned(),
            disk: VolatileDisk::new(store).with_capacity(u64::MAX),
            position: 0,
        })
    }

    /// How many events have been applied.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Applies the next event and returns it, without its data; `None` at the end.
    pub fn step(&mut self) -> Result<Option<Event>> {
        let event =
            self.recording.next_event().map_err(Error::file("read", &self.recording_path))?;
        let Some(mut event) = event else { return Ok(None) };
        let data = std::mem::take(&mut event.data);
        apply(&mut self.disk, &event, data).map_err(Error::file("replay", &self.recording_path))?;
        self.position += 1;
        Ok(Some(event))
    }

    /// Applies events until `position` of them are applied; false if the recording ends before.
    pub fn advance_to(&mut self, position: u64) -> Result<bool> {
        while self.position < position {
            if self.step()?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Saves the disk with every event so far applied, as if the guest had been stopped here.
    pub fn save_prefix(&mut self, path: &Path) -> Result<Disk> {
        let mut disk = self.fork()?;
        disk.settle().map_err(Error::file("replay", &self.recording_path))?;
        self.save(disk.store(), path)
    }

    /// Saves the disk as a power cut at this moment could have left it.
    pub fn save_cut(&mut self, path: &Path, rng: &mut Rng) -> Result<(Disk, CutReport)> {
        let mut disk = self.fork()?;
        let report = disk.cut(rng).map_err(Error::file("replay", &self.recording_path))?;
        Ok((self.save(disk.store(), path)?, report))
    }

    fn fork(&self) -> Result<VolatileDisk<OverlayStore>> {
        self.disk.fork().map_err(Error::file("read", &self.base))
    }

    fn save(&self, store: &OverlayStore, path: &Path) -> Result<Disk> {
        copy_sparse(&self.base, path)?;
        store.apply_to(path).map_err(Error::file("write", path))?;
        Disk::open(path)
    }
}

fn apply(disk: &mut VolatileDisk<OverlayStore>, event: &Event, data: Vec<u8>) -> io::Result<()> {
    match event.kind {
        EventKind::Write(durability) => disk.write(event.offset, data, durability),
        EventKind::Zero(durability) => disk.zero(event.offset, event.length, durability),
        EventKind::Discard => disk.discard(event.offset, event.length),
        EventKind::Flush => disk.flush(),
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
