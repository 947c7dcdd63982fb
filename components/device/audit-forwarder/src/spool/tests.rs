use holdfast_audit_log::frame::{Kind, Timestamp};
use holdfast_audit_log::segment::SegmentReader;
use proptest::prelude::*;
use rand_core::{OsRng, RngCore as _};

use super::simulated::Simulated;
use super::*;

const SMALL: Limits = Limits { total: 20_000, segment: 1_000 };

fn origin() -> Origin {
    Origin::new("holdfast/audit/00").unwrap()
}

fn entry(class: Class, payload: &[u8]) -> Entry<'_> {
    Entry { class, kind: Kind::Operation, time: Timestamp::default(), payload }
}

fn open(disk: Simulated) -> (Spool<Simulated>, Opened) {
    Spool::open(disk, SMALL, origin).unwrap()
}

/// Every payload in the spool, in order, after the chain was checked.
fn payloads(spool: &Spool<Simulated>) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let mut next = None;
    for (name, bytes) in spool.disk().files().filter(|(name, _)| name.ends_with(SUFFIX)) {
        let (header, reader) = SegmentReader::new(bytes).unwrap();
        assert_eq!(name, &Segment { first: header.first_sequence(), len: 0 }.name());
        if let Some(next) = next {
            assert_eq!((header.first_sequence(), header.previous), next, "{name}");
        }
        let mut end = (header.first_sequence(), header.previous);
        for frame in reader {
            let (decoded, hash) = frame.unwrap();
            payloads.push(decoded.frame.payload.to_vec());
            end = (end.0 + 1, hash);
        }
        next = Some(end);
    }
    let end = next.unwrap();
    assert_eq!(end, (spool.durable_size(), spool.durable().head()));
    payloads
}

#[test]
fn what_was_committed_is_there_again() {
    let (mut spool, opened) = open(Simulated::default());
    assert_eq!(opened, Opened { is_new: true, recovered: None });
    for number in 0..100u8 {
        assert_eq!(spool.append(entry(Class::System, &[number; 50])), Ok(number.into()));
        if number % 3 == 0 {
            spool.commit().unwrap();
        }
    }
    assert_eq!((spool.log().size(), spool.durable_size()), (100, 100));
    spool.append(entry(Class::System, b"not committed")).unwrap();
    let (again, opened) = open(spool.disk().clone());
    assert_eq!(opened, Opened::default());
    assert_eq!(payloads(&again).len(), 100);
    assert!(again.segments().count() > 5);
    assert_eq!(again.log().origin(), &origin());
}

#[test]
fn common_records_leave_the_reserve_to_critical_ones() {
    let (mut spool, _) = open(Simulated::default());
    let fill = |spool: &mut Spool<Simulated>, class| {
        let mut taken = 0;
        while spool.append(entry(class, &[0; 100])).is_ok() {
            spool.commit().unwrap();
            taken += 1;
        }
        taken
    };
    assert_eq!(spool.fill(), Fill::Low);
    assert!(fill(&mut spool, Class::Execution) > 80);
    assert!(spool.used() <= 18_000 && spool.fill() >= Fill::High);
    assert!(!spool.has_room(Class::Kernel, 100) && spool.has_room(Class::Permission, 100));
    assert!(fill(&mut spool, Class::Authentication) > 5);
    assert!(spool.used() <= 20_000 && spool.fill() == Fill::Reserve);
    let refused = spool.append(entry(Class::Log, &[0; 1000])).unwrap_err();
    assert!(refused.to_string().contains("of 20000 bytes"), "{refused}");

    // What the cloud has makes room again; the segment in use stays.
    let size = spool.durable_size();
    spool.release(size / 2).unwrap();
    assert!(spool.first_sequence() <= size / 2 && spool.first_sequence() > 0);
    spool.append(entry(Class::Execution, b"again")).unwrap();
    spool.release(u64::MAX).unwrap();
    assert_eq!(spool.segments().count(), 1);
    spool.commit().unwrap();
    assert_eq!(payloads(&open(spool.disk().clone()).0).last().unwrap(), b"again");
}

#[test]
fn a_commit_that_fails_leaves_no_trace() {
    let (mut spool, _) = open(Simulated::default());
    spool.append(entry(Class::System, b"kept")).unwrap();
    spool.commit().unwrap();
    for failures in 1..4 {
        for _ in 0..2 {
            spool.append(entry(Class::Policy, &[7; 300])).unwrap();
        }
        spool.disk.failures = failures;
        let error = spool.commit().unwrap_err();
        assert!(matches!(error, SpoolError::Commit { records: 2, .. }), "{error}");
        assert_eq!((spool.log().size(), spool.pending_len()), (1, 0));
        spool.disk.failures = 0;
    }
    assert_eq!(spool.append(entry(Class::System, b"next")), Ok(1));
    spool.commit().unwrap();
    let (again, _) = open(spool.disk().clone());
    assert_eq!(payloads(&again), [b"kept", b"next"]);
}

#[test]
fn a_damaged_tail_is_cut_and_told() {
    let (mut spool, _) = open(Simulated::default());
    for number in 0..3u8 {
        spool.append(entry(Class::System, &[number; 20])).unwrap();
    }
    spool.commit().unwrap();
    let mut disk = spool.disk().clone();
    let name = spool.segments().last().unwrap().name();
    disk.tamper(&name, |bytes| {
        let len = bytes.len();
        bytes[len - 10] ^= 1;
    });
    let (again, opened) = open(disk);
    let recovered = opened.recovered.unwrap();
    assert_eq!((recovered.bytes, again.durable_size()), (88, 2));
    assert!(recovered.fault.as_str().contains("checksum"), "{recovered:?}");

    let mut disk = spool.disk().clone();
    disk.tamper(&name, |bytes| bytes[0] = b'X');
    let (again, opened) = open(disk);
    assert!(opened.is_new && opened.recovered.is_some(), "{opened:?}");
    assert!(again.disk().files().any(|(name, _)| name.ends_with(DAMAGED)));
}

fn carry(from: u64) -> Carry {
    let previous = PreviousLog { log: "00".repeat(16), size: from, head: "11".repeat(32) };
    Carry { from, refused: None, previous: Some(previous) }
}

fn other() -> Origin {
    Origin::new("holdfast/audit/01").unwrap()
}

/// A log of 40 records whose payloads begin with their number, with checkpoints in between.
fn log_of_40() -> Spool<Simulated> {
    let (mut spool, _) = open(Simulated::default());
    for number in 0..40u8 {
        let kind = if number % 10 == 9 { Kind::Checkpoint } else { Kind::Operation };
        let payload = [number; 100];
        spool.append(Entry { kind, ..entry(Class::System, &payload) }).unwrap();
        spool.commit().unwrap();
    }
    spool
}

#[test]
fn what_the_cloud_has_not_got_goes_over_into_another_log() {
    let spool = log_of_40();
    assert!(spool.segments().count() > 3);
    let mut spool = spool.replace(&other(), &carry(25)).unwrap();
    let expected: Vec<u8> = (25..40).filter(|number| number % 10 != 9).collect();
    let numbers = |spool: &Spool<Simulated>| -> Vec<u8> {
        payloads(spool).iter().map(|payload| payload[0]).collect()
    };
    assert_eq!(numbers(&spool), expected);
    assert_eq!((spool.log().origin(), spool.durable_size()), (&other(), 13));
    assert_eq!(spool.previous().cloned(), carry(25).previous);
    spool.append(entry(Class::Log, b"next")).unwrap();
    spool.commit().unwrap();

    let (again, opened) = open(spool.disk().clone());
    assert_eq!((opened, again.log().origin()), (Opened::default(), &other()));
    assert_eq!(again.durable_size(), 14);
    assert_eq!(again.previous().cloned(), carry(25).previous);
    let names: Vec<_> = again.disk().files().map(|(name, _)| name.clone()).collect();
    assert!(
        names.iter().all(|name| name.ends_with(SUFFIX) || name == "previous.json"),
        "{names:?}"
    );
}

#[test]
fn a_record_that_the_cloud_refuses_is_put_aside_and_told() {
    let refused = Refusal { sequence: 30, reason: Text::lossy("audit-frame-invalid") };
    let carry = Carry { refused: Some(refused), ..carry(30) };
    let spool = log_of_40().replace(&other(), &carry).unwrap();
    let told = Recovered::from_json(&payloads(&spool)[0]).unwrap();
    assert!(told.fault.as_str().contains("record 30 of the log before this: refused: audit-frame"));
    assert_eq!((told.bytes, payloads(&spool)[1][0]), (168, 31));
    let (_, aside) = spool.disk().files().find(|(name, _)| name.ends_with("30.refused")).unwrap();
    assert!(aside.ends_with(&[30; 100]));
}

#[test]
fn a_damaged_segment_goes_over_as_far_as_it_can_be_read() {
    let mut spool = log_of_40();
    let name = spool.segments().nth(1).unwrap().name();
    spool.disk_mut().tamper(&name, |bytes| {
        let len = bytes.len();
        bytes[len - 10] ^= 1;
    });
    let spool = spool.replace(&other(), &carry(0)).unwrap();
    let carried = payloads(&spool);
    // 36 records without checkpoints: one of them is not readable, and told.
    assert_eq!(carried.len(), 36);
    let told = carried.iter().filter_map(|payload| Recovered::from_json(payload).ok());
    let told: Vec<_> = told.collect();
    assert!(told.len() == 1 && told[0].fault.as_str().contains("checksum"), "{told:?}");
}

/// Cut anywhere while another log is made: in the end each record is there once, in order.
#[test]
fn a_power_cut_while_another_log_is_made_loses_and_doubles_nothing() {
    let spool = log_of_40();
    let begin = spool.disk().effects();
    let whole = spool.replace(&other(), &carry(25)).unwrap();
    let expected = payloads(&whole);
    let end = whole.disk().effects();
    assert!(end - begin > 15);
    for cut in begin..=end {
        for percent in [0, 40, 99] {
            let disk = whole.disk().after_cut(cut, percent, false);
            let (again, _) = open(disk);
            if again.log().origin() == &other() {
                assert_eq!(payloads(&again), expected, "cut {cut}");
                continue;
            }
            // It had not begun: the old log is there as it was.
            assert_eq!(payloads(&again).len(), 40, "cut {cut}");
            let again = again.replace(&other(), &carry(25)).unwrap();
            assert_eq!(payloads(&again), expected, "cut {cut}");
        }
    }
}

/// A run of the daemon, cut at one of its effects: what was durable before is there, in order and
/// once, and the log goes on.
#[test]
fn a_thousand_power_cuts_lose_nothing_that_was_durable() {
    let draw = |below: usize| usize::try_from(OsRng.next_u32()).unwrap() % below.max(1);
    let mut cuts = 0;
    while cuts < 1000 {
        let (mut spool, _) = open(Simulated::default());
        // Effects at which so many records were durable.
        let mut durable = vec![(spool.disk().effects(), 0u64)];
        let mut produced = 0u32;
        for _ in 0..60 {
            for _ in 0..draw(4) {
                let mut payload = produced.to_be_bytes().to_vec();
                payload.resize(4 + draw(300), 0);
                if spool.append(entry(Class::Policy, &payload)).is_ok() {
                    produced += 1;
                }
            }
            spool.commit().unwrap();
            durable.push((spool.disk().effects(), spool.durable_size()));
            if draw(10) == 0 {
                let size = spool.durable_size();
                spool.release(size - (draw(3) as u64).min(size)).unwrap();
            }
        }
        for _ in 0..100 {
            cuts += 1;
            let cut = durable[0].0 + draw(spool.disk().effects() - durable[0].0);
            let disk = spool.disk().after_cut(cut, draw(100), draw(2) == 0);
            let sure = durable.iter().take_while(|(at, _)| *at <= cut).last().unwrap().1;
            let (mut again, opened) = open(disk);
            assert!(!opened.is_new, "cut {cut}");
            assert!(again.durable_size() >= sure, "cut {cut}: {} < {sure}", again.durable_size());
            let first = usize::try_from(again.first_sequence()).unwrap();
            for (index, payload) in payloads(&again).iter().enumerate() {
                let expected = u32::try_from(first + index).unwrap().to_be_bytes();
                assert_eq!(payload[..4], expected, "cut {cut}");
            }
            again.append(entry(Class::Log, b"goes on")).unwrap();
            again.commit().unwrap();
            payloads(&again);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_in_the_folder_are_opened(
        names in prop::collection::vec("[0-9]{1,20}(\\.log|\\.log\\.new|\\.damaged|)", 0..4),
        content in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut disk = Simulated::default();
        for name in &names {
            disk.append(name, 0, &content).unwrap();
        }
        if let Ok((mut spool, _)) = Spool::open(disk, SMALL, origin) {
            spool.append(entry(Class::Log, b"x")).unwrap();
            spool.commit().unwrap();
        }
    }
}
