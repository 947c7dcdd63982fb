use std::fs;
use std::path::Path;
use std::time::Instant;

use super::Replay;
use crate::Rng;
use crate::nbd::{Durability, FileStore, OverlayStore, Recorder, Recording, Store, VolatileDisk};

const SIZE: usize = 64 << 10;

/// Writes, flushes and discards at random; returns the disk's content after each event.
fn record(folder: &Path) -> Vec<Vec<u8>> {
    let base = folder.join("base.raw");
    fs::write(&base, vec![0xB0; SIZE]).unwrap();
    let recorder = Recorder::create(&folder.join("log"), Instant::now()).unwrap();
    let store = OverlayStore::over(&base, SIZE as u64).unwrap();
    let mut disk = VolatileDisk::new(store).with_recorder(Some(recorder));
    let mut rng = Rng::new(3);
    let mut contents = Vec::new();
    for number in 0..40_u8 {
        let offset = rng.below(100) * 512;
        let length = (rng.below(20) + 1) * 512;
        match rng.below(6) {
            0 => disk.flush(),
            1 => disk.discard(offset, length),
            2 => disk.zero(offset, length, Durability::AtOnce),
            _ => disk.write(
                offset,
                vec![number; usize::try_from(length).unwrap()],
                Durability::AtFlush,
            ),
        }
        .unwrap();
        let mut content = vec![0; SIZE];
        disk.read(0, &mut content).unwrap();
        contents.push(content);
    }
    contents
}

#[test]
fn every_prefix_is_the_disk_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let contents = record(folder.path());
    let log = folder.path().join("log");
    assert_eq!(Recording::count_events(&log).unwrap(), contents.len() as u64);
    let mut replay = Replay::open(&folder.path().join("base.raw"), &log).unwrap();
    let saved = folder.path().join("saved.raw");
    replay.save_prefix(&saved).unwrap();
    assert_eq!(fs::read(&saved).unwrap(), vec![0xB0; SIZE]);
    for (position, expected) in (1..).zip(&contents) {
        assert!(replay.advance_to(position).unwrap());
        replay.save_prefix(&saved).unwrap();
        assert!(fs::read(&saved).unwrap() == *expected, "after event {position}");
    }
    assert!(!replay.advance_to(1000).unwrap());
}

#[test]
fn a_cut_leaves_the_replay_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let contents = record(folder.path());
    let base = folder.path().join("base.raw");
    let mut replay = Replay::open(&base, &folder.path().join("log")).unwrap();
    let saved = folder.path().join("saved.raw");
    let mut most_outcomes = 0;
    for (position, expected) in (1..).zip(&contents) {
        assert!(replay.advance_to(position).unwrap());
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..10 {
            let (disk, _) = replay.save_cut(&saved, &mut Rng::new(seed)).unwrap();
            outcomes.insert(fs::read(disk.path()).unwrap());
        }
        most_outcomes = most_outcomes.max(outcomes.len());
        replay.save_prefix(&saved).unwrap();
        assert!(fs::read(&saved).unwrap() == *expected);
        assert_eq!(replay.position(), position);
    }
    assert!(most_outcomes > 4, "{most_outcomes}");
}

#[test]
fn an_event_cut_off_at_the_end_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let events = record(folder.path()).len() as u64;
    let log = folder.path().join("log");
    let bytes = fs::read(&log).unwrap();
    for cut in [1, 10, 400] {
        fs::write(&log, &bytes[..bytes.len() - cut]).unwrap();
        let counted = Recording::count_events(&log).unwrap();
        assert!((1..events).contains(&counted), "{counted} of {events} after losing {cut} bytes");
    }
    fs::write(&log, b"no recording at all").unwrap();
    assert!(Recording::open(&log).is_err());
}

#[test]
fn an_overlay_changes_neither_its_base_nor_its_fork() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base.raw");
    fs::write(&base, vec![1; SIZE]).unwrap();
    let mut overlay = OverlayStore::over(&base, SIZE as u64).unwrap();
    overlay.write_at(100, &[2; 5000]).unwrap();
    let fork = overlay.fork().unwrap();
    overlay.zero_at(0, SIZE as u64).unwrap();
    let mut content = vec![0; SIZE];
    fork.read_at(0, &mut content).unwrap();
    assert_eq!((content[99], content[100], content[5099], content[5100]), (1, 2, 2, 1));
    let file = FileStore::open(&base).unwrap();
    file.read_at(0, &mut content).unwrap();
    assert_eq!(content, vec![1; SIZE]);
}
