use std::convert::Infallible;

use holdfast_audit_log::checkpoint::TpmClock;
use holdfast_audit_log::frame::{Class, FrameError, Timestamp};
use holdfast_audit_log::segment::FrameFault;
use holdfast_audit_log::tree::Frontier;
use holdfast_audit_log::{Actor, Appender, AuditRecord, Entry, Source, Text};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::EncodePublicKey as _;
use proptest::prelude::*;

use super::*;
use crate::clock::from_unix;
use crate::device_audit::LogId;

fn origin() -> Origin {
    "0123456789abcdef0123456789abcdef".parse::<LogId>().unwrap().origin()
}

/// A device that writes a log.
#[derive(Clone)]
struct Device {
    key: SigningKey,
    log: Appender,
    frames: Vec<Vec<u8>>,
}

impl Device {
    fn new() -> Self {
        Self::with_key(7)
    }

    fn with_key(key: u8) -> Self {
        let key = SigningKey::from_slice(&[key; 32]).unwrap();
        Self { key, log: Appender::new(origin()), frames: Vec::new() }
    }

    fn spki(&self) -> Vec<u8> {
        self.key.verifying_key().to_public_key_der().unwrap().into_vec()
    }

    fn append(&mut self, class: Class, kind: Kind, payload: &[u8]) {
        let time = Timestamp {
            realtime_ns: 1_800_000_000_000_000_000 + self.log.size(),
            boottime_ns: self.log.size(),
            is_synchronised: true,
        };
        let mut frame = Vec::new();
        self.log.append(Entry { class, kind, time, payload }, &mut frame).unwrap();
        self.frames.push(frame);
    }

    fn operations(&mut self, count: usize) {
        for number in 0..count {
            let record = AuditRecord::new(
                from_unix(1_800_000_000),
                Source::device("enroller").unwrap(),
                Actor::user(u32::try_from(number % 3).unwrap()).with_login_uid(1000),
                holdfast_audit_log::Action::new("identity.sign").unwrap(),
                Text::lossy(&number.to_string()),
            );
            self.append(Class::Operation, Kind::Operation, record.to_json().unwrap().as_bytes());
        }
    }

    fn sign(&self, checkpoint: Checkpoint) -> String {
        let signature: Signature = self.key.sign_prehash(&checkpoint.signing_digest()).unwrap();
        let id = holdfast_audit_log::checkpoint::KeyId::of_spki(&self.spki());
        checkpoint.signed(id, signature.to_der().as_bytes().to_vec()).to_string()
    }

    fn checkpoint(&mut self, boot: Option<BootBinding>) {
        let note = self.sign(self.log.checkpoint(boot));
        self.append(Class::Log, Kind::Checkpoint, note.as_bytes());
    }

    /// A log with all that a log has.
    fn with_history() -> Self {
        let mut device = Self::new();
        device.append(Class::System, Kind::Boot, b"{}");
        device.checkpoint(Some(start(1)));
        device.operations(9);
        let late = device.sign(device.log.checkpoint(None));
        device.operations(3);
        device.append(Class::Log, Kind::Checkpoint, late.as_bytes());
        device.append(Class::System, Kind::Boot, b"{}");
        device.checkpoint(Some(start(2)));
        device.operations(5);
        device.checkpoint(None);
        device
    }

    fn bytes(&self, range: std::ops::Range<usize>) -> Vec<u8> {
        self.frames[range].concat()
    }
}

fn start(number: u32) -> BootBinding {
    let clock = TpmClock { clock_ms: 1, reset_count: number, restart_count: 0, is_safe: true };
    BootBinding { clock, nv_counter: u64::from(number) * 10 }
}

/// A store in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored {
    state: LogState,
    position: Position,
    hashes: Vec<Hash>,
    bytes: Vec<u8>,
}

impl Stored {
    fn new() -> Self {
        let position = Position::start(&origin());
        Self { state: LogState::Open, position, hashes: Vec::new(), bytes: Vec::new() }
    }

    fn with(device: &Device, records: usize) -> Self {
        let mut stored = Self::new();
        if records > 0 {
            assert!(matches!(
                stored.put(device, 0, &device.bytes(0..records)),
                Verdict::Appends(_)
            ));
        }
        stored
    }

    /// What the server does with a verdict.
    fn put(&mut self, device: &Device, first: u64, bytes: &[u8]) -> Verdict {
        let key = AuditKey::from_spki_der(&device.spki()).unwrap();
        let subject =
            Subject { origin: &origin(), key: &key, state: self.state, position: &self.position };
        let verdict = judge(&subject, first, bytes, &mut self.hashes.clone()).unwrap();
        if let Verdict::Appends(appended) = &verdict {
            let new = &bytes[appended.offset..];
            let batch = Batch::parse(self.position.size(), new).unwrap();
            assert_eq!(batch.records().len() as u64, appended.records);
            self.hashes.extend(batch.records().iter().map(|record| record.hash));
            self.bytes.extend(new);
            self.position = appended.position.clone();
        }
        verdict
    }
}

impl Past for Vec<Hash> {
    type Error = Infallible;
    fn at(&mut self, size: u64) -> Result<Point, Infallible> {
        let mut frontier = Frontier::default();
        let mut head = origin().genesis();
        for hash in &self[..usize::try_from(size).unwrap()] {
            head = *hash;
            frontier.push(head);
        }
        Ok(Point { head, root: frontier.root() })
    }
}

/// Makes the checksum of a frame right again.
fn seal(frame: &mut [u8]) {
    let end = frame.len() - 4;
    let checksum = crc32c(&frame[..end]).to_be_bytes();
    frame[end..].copy_from_slice(&checksum);
}

/// CRC32C, bit by bit (RFC 3720, appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 * (crc & 1)))
    })
}

#[test]
fn a_log_is_taken_in_one_piece_and_in_parts() {
    let device = Device::with_history();
    let all = device.frames.len();
    let whole = Stored::with(&device, all);
    assert_eq!(whole.position.head, device.log.head());
    assert_eq!(whole.position.frontier.root(), device.log.checkpoint(None).root);
    assert_eq!(whole.position.boot, Some(start(2)));
    assert_eq!(whole.position.checkpoint, Some(all as u64 - 1));
    let mut parts = Stored::new();
    for number in 0..all {
        let verdict = parts.put(&device, number as u64, &device.bytes(number..number + 1));
        let Verdict::Appends(appended) = verdict else { panic!("{number}: {verdict:?}") };
        assert_eq!((appended.offset, appended.records), (0, 1));
    }
    assert_eq!(parts, whole);
}

#[test]
fn what_a_batch_is_about() {
    let mut device = Device::new();
    device.operations(4);
    device.append(Class::Usb, Kind::Loss, br#"{"cause":"spool-full","count":1}"#);
    let mut stored = Stored::new();
    let Verdict::Appends(appended) = stored.put(&device, 0, &device.bytes(0..5)) else { panic!() };
    let content = appended.content;
    assert_eq!(content.latest_ns - content.earliest_ns, 4);
    let classes = BatchContent::class_bit(Class::Operation) | BatchContent::class_bit(Class::Usb);
    assert_eq!(content.classes, classes);
    assert_eq!(content.users, Some([0, 1, 2, 1000].into()));
    device.append(Class::Kernel, Kind::KernelEvent, b"opaque");
    let Verdict::Appends(appended) = stored.put(&device, 5, &device.bytes(5..6)) else { panic!() };
    assert_eq!(appended.content.users, None);
}

#[test]
fn repeats_gaps_overlaps_and_forks() {
    let device = Device::with_history();
    let all = device.frames.len();
    let mut other = Device::new();
    other.append(Class::System, Kind::Boot, b"{}");
    other.checkpoint(Some(start(1)));
    other.operations(3);
    other.operations(20);
    let mut foreign = device.clone();
    foreign.log = Appender::new(Origin::new("holdfast/audit/other").unwrap());
    foreign.frames.clear();
    foreign.operations(3);

    let fork = |sequence| Verdict::Refused(Refusal::Fork { sequence });
    let before = Stored::with(&device, 10);
    // Records that the two have in common: boot, checkpoint with the same signature, operations
    // 0, 1, 2 with the same numbers.
    let table: &[(&str, u64, Vec<u8>, Option<Verdict>)] = &[
        ("repeat", 0, device.bytes(0..10), Some(Verdict::Repeat)),
        ("repeat of a part", 3, device.bytes(3..7), Some(Verdict::Repeat)),
        ("repeat of one", 9, device.bytes(9..10), Some(Verdict::Repeat)),
        ("overlap", 4, device.bytes(4..all), None),
        ("overlap of all", 0, device.bytes(0..all), None),
        ("next", 10, device.bytes(10..all), None),
        (
            "gap",
            11,
            device.bytes(11..12),
            Some(Verdict::Refused(Refusal::Gap { size: 10, first: 11 })),
        ),
        ("fork within", 0, other.bytes(0..9), Some(fork(5))),
        ("fork beyond", 2, other.bytes(2..25), Some(fork(5))),
        ("fork at one", 7, other.bytes(7..8), Some(fork(7))),
        ("fork at the end", 10, other.bytes(10..12), Some(fork(10))),
    ];
    for (name, first, bytes, expected) in table {
        let mut stored = before.clone();
        let verdict = stored.put(&device, *first, bytes);
        match expected {
            Some(expected) => {
                assert_eq!(verdict, *expected, "{name}");
                assert_eq!(stored, before, "{name}");
            }
            None => assert_eq!(stored, Stored::with(&device, all), "{name}: {verdict:?}"),
        }
    }
    let mut stored = Stored::new();
    assert_eq!(stored.put(&device, 0, &foreign.bytes(0..3)), fork(0));

    for state in [LogState::Closed, LogState::Forked] {
        let mut stored = Stored { state, ..before.clone() };
        let read_only = Verdict::Refused(Refusal::ReadOnly(state));
        assert_eq!(stored.put(&device, 10, &device.bytes(10..12)), read_only);
        assert_eq!(stored.put(&device, 0, &device.bytes(0..12)), read_only);
        assert_eq!(stored.put(&device, 0, &device.bytes(0..10)), Verdict::Repeat);
        assert_eq!(stored.put(&device, 7, &other.bytes(7..8)), fork(7));
    }
}

/// Name, batch, place and number of the fault, and what it is if that is said.
type BadBatch = (&'static str, Vec<u8>, usize, u64, Option<FrameFault>);

#[test]
fn unreadable_frames_are_named_by_place_and_number() {
    let device = Device::with_history();
    let before = Stored::with(&device, 3);
    let (len, second) = (device.frames[3].len(), device.frames[4].len());
    let two = || device.bytes(3..5);
    let mut spliced = two();
    spliced[len + 70] ^= 1;
    seal(&mut spliced[len..]);
    let mut unlinked = two();
    unlinked[len + 32] ^= 1;
    seal(&mut unlinked[len..]);
    let mut flipped = two();
    flipped[len + 70] ^= 1;
    let cut = |needed, found| FrameFault::Unreadable(FrameError::CutOff { needed, found });
    let table: &[BadBatch] = &[
        ("empty", vec![], 0, 3, Some(cut(4, 0))),
        ("zeros", vec![0; 99], 0, 3, Some(FrameFault::Unreadable(FrameError::Length(0)))),
        ("cut", two()[..len + 9].to_vec(), len, 4, Some(cut(second, 9))),
        ("flipped", flipped, len, 4, None),
        (
            "skipped",
            [device.bytes(3..4), device.bytes(5..6)].concat(),
            len,
            4,
            Some(FrameFault::Sequence(5)),
        ),
        (
            "swapped",
            [device.bytes(4..5), device.bytes(3..4)].concat(),
            0,
            3,
            Some(FrameFault::Sequence(4)),
        ),
        ("unlinked", unlinked, len, 4, Some(FrameFault::Previous)),
        ("trailing", [two(), vec![1]].concat(), len + second, 5, Some(cut(4, 1))),
    ];
    for (name, bytes, offset, sequence, fault) in table {
        let mut stored = before.clone();
        let verdict = stored.put(&device, 3, bytes);
        let Verdict::Refused(Refusal::Frame(bad)) = verdict else { panic!("{name}: {verdict:?}") };
        assert_eq!((bad.offset, bad.sequence), (*offset, *sequence), "{name}");
        if let Some(fault) = fault {
            assert_eq!(bad.fault, *fault, "{name}");
        }
        assert_eq!(stored, before, "{name}");
    }
    // The last record of a log is the device's word; nothing contradicts it yet.
    let mut stored = before.clone();
    assert!(matches!(stored.put(&device, 3, &spliced), Verdict::Appends(_)));
}

type BadCheckpoint = (&'static str, String, fn(&CheckpointFault) -> bool);

#[test]
fn checkpoints_that_do_not_fit() {
    let mut device = Device::new();
    device.operations(2);
    device.checkpoint(Some(start(5)));
    device.operations(2);
    let before = Stored::with(&device, device.frames.len());
    let good = device.log.checkpoint(None);
    let root = good.root;
    let with = |change: fn(&mut Checkpoint)| {
        let mut changed = good.clone();
        change(&mut changed);
        device.sign(changed)
    };
    let foreign = Device::with_key(8).sign(good.clone());
    let mut mismatch = device.sign(good.clone());
    mismatch = mismatch.replace("\n5\n", "\n4\n");
    let other = with(|c| c.origin = Origin::new("holdfast/audit/other").unwrap());
    let table: &[BadCheckpoint] = &[
        ("text", "nonsense".into(), |f| matches!(f, CheckpointFault::Unreadable(_))),
        ("other key", foreign, |f| matches!(f, CheckpointFault::NotSigned(NotSigned::NoSignature))),
        ("signature", mismatch, |f| matches!(f, CheckpointFault::NotSigned(NotSigned::Mismatch))),
        ("other log", other, |f| {
            matches!(f, CheckpointFault::NotSigned(NotSigned::OtherLog { .. }))
        }),
        ("future", with(|c| c.size = 6), |f| *f == CheckpointFault::Size(6)),
        ("size", with(|c| c.size = 4), |f| *f == CheckpointFault::Root(4)),
        ("root", with(|c| c.root = Hash::of(&[])), |f| *f == CheckpointFault::Root(5)),
        ("head", with(|c| c.head = Hash::of(&[])), |f| *f == CheckpointFault::Head(5)),
    ];
    for (name, note, is_expected) in table {
        let mut device = device.clone();
        device.append(Class::Log, Kind::Checkpoint, note.as_bytes());
        device.operations(1);
        let mut stored = before.clone();
        let verdict = stored.put(&device, 5, &device.bytes(5..7));
        let Verdict::Refused(Refusal::Checkpoint { sequence: 5, fault }) = verdict else {
            panic!("{name}: {verdict:?}")
        };
        assert!(is_expected(&fault), "{name}: {fault}");
        assert_eq!(stored, before, "{name}");
    }
    assert_eq!(good.root, root);

    for (name, nv_counter, reset_count, is_taken) in [
        ("both", 51, 6, true),
        ("same", 50, 5, false),
        ("reset", 51, 5, false),
        ("counter", 50, 6, false),
        ("back", 1, 1, false),
    ] {
        let mut device = device.clone();
        let mut boot = start(reset_count);
        boot.nv_counter = nv_counter;
        device.checkpoint(Some(boot));
        let mut stored = before.clone();
        let verdict = stored.put(&device, 5, &device.bytes(5..6));
        match verdict {
            Verdict::Appends(_) => assert!(is_taken, "{name}"),
            Verdict::Refused(Refusal::RolledBack { sequence: 5, .. }) => {
                assert!(!is_taken, "{name}");
                assert_eq!(stored, before);
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn checkpoints_of_earlier_batches_are_looked_up_a_few_times_only() {
    let mut device = Device::new();
    device.operations(3);
    let old = device.sign(device.log.checkpoint(None));
    device.operations(3);
    let before = Stored::with(&device, 6);
    for (count, is_taken) in [(EARLIER_CHECKPOINTS, true), (EARLIER_CHECKPOINTS + 1, false)] {
        let mut device = device.clone();
        for _ in 0..count {
            device.append(Class::Log, Kind::Checkpoint, old.as_bytes());
        }
        let mut stored = before.clone();
        let verdict = stored.put(&device, 6, &device.bytes(6..6 + count));
        assert_eq!(matches!(verdict, Verdict::Appends(_)), is_taken, "{verdict:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is sent again or in whatever pieces, the store ends the same.
    #[test]
    fn pieces_in_any_order_end_in_the_same_store(
        pieces in prop::collection::vec((0_usize..24, 1_usize..12), 1..40)
    ) {
        let device = Device::with_history();
        let all = device.frames.len();
        let mut stored = Stored::new();
        for (first, length) in pieces {
            let first = first.min(all - 1);
            let end = (first + length).min(all);
            let size = stored.hashes.len();
            let before = stored.clone();
            match stored.put(&device, first as u64, &device.bytes(first..end)) {
                Verdict::Appends(_) => prop_assert!(first <= size && end > size),
                Verdict::Repeat => {
                    prop_assert!(end <= size);
                    prop_assert_eq!(&stored, &before);
                }
                Verdict::Refused(refusal) => {
                    let is_gap = matches!(refusal, Refusal::Gap { .. });
                    prop_assert!(is_gap && first > size);
                    prop_assert_eq!(&stored, &before);
                }
            }
            prop_assert_eq!(&stored, &Stored::with(&device, stored.hashes.len()));
        }
    }

    /// A changed upload changes nothing, unless what is changed is its end: the last frame, or what
    /// was left off after a whole frame.
    #[test]
    fn a_mutated_upload_is_refused_or_a_valid_log(
        held in 0_usize..20,
        first in 0_usize..20,
        at in any::<prop::sample::Index>(),
        with in 1_u8..,
        cut in 0_u8..4,
        reseal in any::<bool>(),
    ) {
        let device = Device::with_history();
        let all = device.frames.len();
        let before = Stored::with(&device, held);
        let first = first.min(held);
        let mut bytes = device.bytes(first..all);
        let place = at.index(bytes.len());
        if cut == 0 {
            bytes.truncate(place);
        } else {
            bytes[place] ^= with;
            if reseal {
                let mut offset = 0;
                for frame in &device.frames[first..] {
                    let end = offset + frame.len();
                    if (offset..end).contains(&place) {
                        seal(&mut bytes[offset..end]);
                    }
                    offset = end;
                }
            }
        }
        let mut stored = before.clone();
        match stored.put(&device, first as u64, &bytes) {
            Verdict::Refused(_) | Verdict::Repeat => prop_assert_eq!(&stored, &before),
            Verdict::Appends(_) => {
                let original = Stored::with(&device, all);
                let size = stored.hashes.len();
                // At most the last record differs.
                prop_assert_eq!(&stored.hashes[..size - 1], &original.hashes[..size - 1]);
                let head = stored.hashes.clone().at(size as u64).unwrap();
                prop_assert_eq!(head.root, stored.position.frontier.root());
                prop_assert_eq!(head.head, stored.position.head);
            }
        }
    }
}
