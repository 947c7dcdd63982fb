use std::collections::{BTreeSet, HashMap};
use std::fs;

use proptest::prelude::*;

use super::{Durability, VolatileDisk};
use crate::Rng;
use crate::nbd::{FileStore, OverlayStore, SECTOR, Store};

const SECTORS: u64 = 48;
const SIZE: u64 = SECTORS * SECTOR;

#[derive(Debug, Clone)]
enum Step {
    Write { first: u64, count: u64, durability: Durability },
    Zero { first: u64, count: u64, durability: Durability },
    Discard { first: u64, count: u64 },
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let range = (0..SECTORS).prop_flat_map(|first| (Just(first), 1..=(SECTORS - first).min(20)));
    let durability = prop_oneof![6 => Just(Durability::AtFlush), 1 => Just(Durability::AtOnce)];
    let step = prop_oneof![
        8 => (range.clone(), durability.clone())
            .prop_map(|((first, count), durability)| Step::Write { first, count, durability }),
        2 => (range.clone(), durability)
            .prop_map(|((first, count), durability)| Step::Zero { first, count, durability }),
        1 => range.prop_map(|(first, count)| Step::Discard { first, count }),
        2 => Just(Step::Flush),
    ];
    prop::collection::vec(step, 0..60)
}

/// What each sector may hold after a power cut: the stamp that is there for certain last, then
/// those that came after it. Stamp 0 is zeroes.
struct Model(Vec<Vec<u32>>);

impl Model {
    fn new() -> Self {
        Self(vec![vec![0]; usize::try_from(SECTORS).unwrap()])
    }

    fn apply(&mut self, step: &Step, stamp: u32) {
        let (first, count, stamp, durability) = match *step {
            Step::Write { first, count, durability } => (first, count, stamp, durability),
            Step::Zero { first, count, durability } => (first, count, 0, durability),
            Step::Discard { first, count } => (first, count, 0, Durability::AtFlush),
            Step::Flush => {
                for possible in &mut self.0 {
                    possible.drain(..possible.len() - 1);
                }
                return;
            }
        };
        for sector in first..first + count {
            let possible = &mut self.0[usize::try_from(sector).unwrap()];
            if durability == Durability::AtOnce {
                possible.clear();
            }
            possible.push(stamp);
        }
    }

    fn newest(&self) -> Vec<u32> {
        self.0.iter().map(|possible| *possible.last().unwrap()).collect()
    }
}

fn sector_of(stamp: u32) -> Vec<u8> {
    stamp.to_le_bytes().repeat(usize::try_from(SECTOR / 4).unwrap())
}

/// The stamps on a disk; panics on a sector that no single write has made.
fn stamps(content: &[u8]) -> Vec<u32> {
    let sectors = content.chunks_exact(usize::try_from(SECTOR).unwrap());
    sectors
        .map(|sector| {
            let stamp = u32::from_le_bytes(sector[..4].try_into().unwrap());
            assert_eq!(sector, sector_of(stamp), "a sector in parts of two writes");
            stamp
        })
        .collect()
}

fn perform<S: Store>(disk: &mut VolatileDisk<S>, step: &Step, stamp: u32) {
    match *step {
        Step::Write { first, count, durability } => {
            let data = sector_of(stamp).repeat(usize::try_from(count).unwrap());
            disk.write(first * SECTOR, data, durability)
        }
        Step::Zero { first, count, durability } => {
            disk.zero(first * SECTOR, count * SECTOR, durability)
        }
        Step::Discard { first, count } => disk.discard(first * SECTOR, count * SECTOR),
        Step::Flush => disk.flush(),
    }
    .unwrap();
}

fn content<S: Store>(disk: &mut VolatileDisk<S>) -> Vec<u8> {
    let mut content = vec![0xEE; usize::try_from(SIZE).unwrap()];
    disk.read(0, &mut content).unwrap();
    content
}

/// A disk file of zeroes and a store that works on it.
fn stores(folder: &std::path::Path) -> [Box<dyn Store>; 2] {
    let path = folder.join("disk.raw");
    fs::write(&path, vec![0; usize::try_from(SIZE).unwrap()]).unwrap();
    let base = folder.join("base.raw");
    // Shorter than the disk, and not even whole blocks.
    fs::write(&base, vec![0; 5000]).unwrap();
    [Box::new(FileStore::open(&path).unwrap()), Box::new(OverlayStore::over(&base, SIZE).unwrap())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn reads_show_the_newest_writes_and_a_cut_spares_what_was_flushed(
        steps in steps(),
        capacity in prop_oneof![Just(u64::MAX), Just(10 * SECTOR), Just(0)],
        seed: u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        for store in stores(folder.path()) {
            let mut disk = VolatileDisk::new(store).with_capacity(capacity);
            let mut model = Model::new();
            for (stamp, step) in (1..).zip(&steps) {
                perform(&mut disk, step, stamp);
                model.apply(step, stamp);
                prop_assert_eq!(stamps(&content(&mut disk)), model.newest());
            }
            disk.cut(&mut Rng::new(seed)).unwrap();
            for (found, possible) in stamps(&content(&mut disk)).iter().zip(&model.0) {
                prop_assert!(possible.contains(found), "{} is none of {:?}", found, possible);
            }
        }
    }

    #[test]
    fn bytes_at_any_offset_are_read_back(
        writes in prop::collection::vec((0..SIZE - 1, 1_usize..3000, any::<bool>()), 1..30),
        flush_every in 1_usize..8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        for store in stores(folder.path()) {
            let mut disk = VolatileDisk::new(store);
            let mut model = vec![0_u8; usize::try_from(SIZE).unwrap()];
            for (number, (offset, length, zero)) in writes.iter().enumerate() {
                let start = usize::try_from(*offset).unwrap();
                let length = (*length).min(model.len() - start);
                let byte = if *zero { 0 } else { u8::try_from(number).unwrap() + 1 };
                model[start..start + length].fill(byte);
                if *zero {
                    disk.zero(*offset, length as u64, Durability::AtFlush).unwrap();
                } else {
                    disk.write(*offset, vec![byte; length], Durability::AtFlush).unwrap();
                }
                if number % flush_every == 0 {
                    disk.flush().unwrap();
                }
                prop_assert_eq!(&content(&mut disk), &model);
                let mut part = vec![0; length];
                disk.read(*offset, &mut part).unwrap();
                prop_assert_eq!(&part[..], &model[start..start + length]);
            }
        }
    }
}

/// One disk of zeroes with `writes` unflushed writes of 4 KiB.
fn dirty_disk(folder: &std::path::Path, writes: u64) -> VolatileDisk<Box<dyn Store>> {
    let [store, _] = stores(folder);
    let mut disk = VolatileDisk::new(store);
    for write in 0..writes {
        let stamp = u32::try_from(write).unwrap() + 1;
        disk.write(write * 4096, sector_of(stamp).repeat(8), Durability::AtFlush).unwrap();
    }
    disk
}

#[test]
fn cuts_differ_by_seed_and_only_by_seed() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen: HashMap<Vec<u32>, u64> = HashMap::new();
    let (mut kept, mut lost, mut torn) = (BTreeSet::new(), BTreeSet::new(), 0);
    for seed in 0..60 {
        let cut = || {
            let mut disk = dirty_disk(folder.path(), 6);
            let report = disk.cut(&mut Rng::new(seed)).unwrap();
            assert_eq!(report.at_risk, 6);
            assert_eq!(report.kept + report.torn + report.lost, 6);
            (stamps(&content(&mut disk)), report)
        };
        let (first, report) = cut();
        assert_eq!(cut(), (first.clone(), report), "seed {seed}");
        seen.insert(first, seed);
        kept.insert(report.kept);
        lost.insert(report.lost);
        torn += report.torn;
    }
    assert!(seen.len() > 20, "only {} different outcomes", seen.len());
    assert!(kept.contains(&0) && lost.contains(&0), "kept {kept:?}, lost {lost:?}");
    assert!(torn > 0);
}

#[test]
fn nothing_is_at_risk_after_a_flush_or_with_forced_unit_access() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..20 {
        let mut disk = dirty_disk(folder.path(), 4);
        disk.flush().unwrap();
        disk.write(0, sector_of(99), Durability::AtOnce).unwrap();
        let before = content(&mut disk);
        let report = disk.cut(&mut Rng::new(seed)).unwrap();
        assert_eq!(report.at_risk, 0);
        assert_eq!(content(&mut disk), before);
    }
}

#[test]
fn a_forced_write_does_not_make_others_durable_but_stays_above_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut others = BTreeSet::new();
    for seed in 0..40 {
        let mut disk = dirty_disk(folder.path(), 4);
        disk.write(0, sector_of(99), Durability::AtOnce).unwrap();
        disk.cut(&mut Rng::new(seed)).unwrap();
        let found = stamps(&content(&mut disk));
        assert_eq!(found[0], 99, "seed {seed}");
        others.insert(found[8]);
    }
    assert_eq!(others, BTreeSet::from([0, 2]));
}

#[test]
fn requests_beyond_the_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = dirty_disk(folder.path(), 0);
    assert!(disk.write(SIZE - 1, vec![1; 2], Durability::AtFlush).is_err());
    assert!(disk.zero(u64::MAX, 2, Durability::AtFlush).is_err());
    assert!(disk.discard(SIZE, 1).is_err());
    assert!(disk.read(SIZE, &mut [0]).is_err());
    assert!(disk.write(SIZE, Vec::new(), Durability::AtFlush).is_ok());
}

#[test]
fn counters_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = dirty_disk(folder.path(), 3);
    disk.flush().unwrap();
    disk.discard(0, 512).unwrap();
    let _ = content(&mut disk);
    let counters = disk.counters();
    assert_eq!((counters.writes, counters.written_bytes), (4, 3 * 4096));
    assert_eq!((counters.flushes, counters.reads, counters.read_bytes), (1, 1, SIZE));
}
