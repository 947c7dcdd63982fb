use holdfast_audit_log::checkpoint::TpmClock;
use holdfast_audit_log::kernel::{Limits as AssemblerLimits, MessageType};
use holdfast_audit_log::segment::SegmentReader;
use holdfast_audit_log::{Action, Actor, AuditRecord, Source, Text};
use time::OffsetDateTime;

use super::*;
use crate::spool::Limits;
use crate::spool::simulated::Simulated;

const SECOND: u64 = 1_000_000_000;
/// Real time at the start of the kernel.
const EPOCH: u64 = 1_700_000_000 * SECOND;

type TestEngine = Engine<Simulated, &'static str>;

fn at(boottime_ns: u64) -> Timestamp {
    Timestamp { realtime_ns: EPOCH + boottime_ns, boottime_ns, is_synchronised: false }
}

fn engine(total: u64) -> TestEngine {
    let limits = Limits { total, segment: 4096 };
    let origin = || Origin::new("holdfast/audit/00").unwrap();
    let (spool, opened) = Spool::open(Simulated::default(), limits, origin).unwrap();
    let assembler = Assembler::new(AssemblerLimits::default());
    Engine::new(spool, assembler, opened.recovered.as_ref(), at(0))
}

fn operation(uid: u32) -> AuditRecord {
    AuditRecord::new(
        OffsetDateTime::UNIX_EPOCH,
        Source::device("enroller").unwrap(),
        Actor::user(uid),
        Action::new("identity.sign").unwrap(),
        Text::default(),
    )
}

fn critical(record: AuditRecord) -> Record {
    Record { class: Class::Authentication, record }
}

fn execution(serial: u32) -> Batch {
    let mut batch = Batch::default();
    let id = format!("audit(1700000000.000:{serial}): ");
    let mut push = |kind, text: &str| batch.push(kind, format!("{id}{text}").as_bytes());
    push(MessageType(1300), "arch=c000003e syscall=59 success=yes auid=1000 uid=0 key=\"hf-exec\"");
    push(MessageType(1309), "argc=1 a0=\"id\"");
    push(MessageType(1320), "");
    batch
}

/// Kind, class and payload of every durable record.
fn records(engine: &TestEngine) -> Vec<(Kind, Class, String)> {
    let mut records = Vec::new();
    for (_, bytes) in engine.spool().disk().files() {
        for frame in SegmentReader::new(bytes).unwrap().1 {
            let frame = frame.unwrap().0.frame;
            let payload = String::from_utf8_lossy(frame.payload).into_owned();
            records.push((frame.kind, frame.class, payload));
        }
    }
    records
}

fn kinds(engine: &TestEngine) -> Vec<Kind> {
    records(engine).into_iter().map(|(kind, ..)| kind).collect()
}

fn binding() -> BootBinding {
    let clock = TpmClock { clock_ms: 1, reset_count: 2, restart_count: 0, is_safe: true };
    BootBinding { clock, nv_counter: 7 }
}

#[test]
fn whoever_waits_is_answered_when_his_record_is_durable() {
    let mut engine = engine(100_000);
    assert_eq!(engine.operation(&critical(operation(0)), "a", at(1)), None);
    assert!(engine.is_commit_due(1));
    assert_eq!(engine.spool().durable_size(), 0);
    let (kept, result) = engine.commit();
    assert!(result.is_ok());
    assert_eq!(kept, [("a", Kept::As(0))]);
    assert_eq!(kinds(&engine), [Kind::Operation]);
    assert!(!engine.is_commit_due(u64::MAX - 1));
}

#[test]
fn events_of_the_kernel_are_written_together() {
    let mut engine = engine(100_000);
    engine.kernel(&execution(5), at(SECOND));
    assert!(!engine.is_commit_due(SECOND));
    assert_eq!(engine.next_deadline(), Some(SECOND + GROUP_NS));
    assert!(engine.is_commit_due(SECOND + GROUP_NS));
    engine.commit().1.unwrap();
    let [(kind, class, _)] = &records(&engine)[..] else { panic!("not one") };
    assert_eq!((*kind, *class), (Kind::KernelEvent, Class::Execution));
    for serial in 6..500 {
        engine.kernel(&execution(serial), at(SECOND + 2 * GROUP_NS));
        if engine.is_commit_due(SECOND + 2 * GROUP_NS) {
            return;
        }
    }
    panic!("64 KiB wait");
}

#[test]
fn a_gap_of_serial_numbers_is_a_record() {
    let mut engine = engine(100_000);
    engine.kernel(&execution(5), at(SECOND));
    engine.kernel(&execution(9), at(SECOND));
    engine.tick(at(4 * SECOND));
    engine.commit().1.unwrap();
    let told = records(&engine).into_iter().find(|(kind, ..)| *kind == Kind::Loss).unwrap();
    assert_eq!(told.1, Class::Log);
    assert!(told.2.contains(r#""count":3,"first_serial":6,"last_serial":8"#), "{}", told.2);
    assert_eq!(engine.lost()[&LossCause::SerialGap], 3);
}

#[test]
fn a_disk_that_does_not_take_it_refuses_who_waits_and_counts_the_others() {
    let mut engine = engine(100_000);
    engine.kernel(&execution(5), at(SECOND));
    engine.kernel(&execution(6), at(SECOND));
    engine.operation(&critical(operation(0)), "a", at(SECOND));
    let disk = engine.spool.disk_mut();
    disk.failures = 2;
    let (kept, result) = engine.commit();
    assert!(result.is_err());
    assert!(matches!(&kept[..], [("a", Kept::Not(_))]), "{kept:?}");
    engine.spool.disk_mut().failures = 0;
    engine.tick(at(2 * SECOND));
    engine.commit().1.unwrap();
    let [(kind, _, payload)] = &records(&engine)[..] else { panic!("not one") };
    assert_eq!(*kind, Kind::Loss);
    assert_eq!(payload, r#"{"cause":"write-failed","count":2}"#);
}

#[test]
fn a_full_spool_drops_what_is_common_and_refuses_when_the_reserve_is_gone() {
    let mut engine = engine(20_000);
    for serial in 1..400 {
        engine.kernel(&execution(serial), at(SECOND));
        engine.commit().1.unwrap();
    }
    assert!(engine.lost()[&LossCause::SpoolFull] > 300);
    let mut number = 0;
    let refused = loop {
        if let Some(refused) = engine.operation(&critical(operation(0)), "a", at(SECOND)) {
            break refused;
        }
        engine.commit().1.unwrap();
        number += 1;
    };
    assert!(number > 3, "the reserve took {number}");
    assert!(matches!(&refused.1, Kept::Not(why) if why.contains("full")), "{refused:?}");
    // With room again, the loss is told.
    engine.release(u64::MAX).unwrap();
    engine.tick(at(2 * SECOND));
    engine.commit().1.unwrap();
    let told = records(&engine).pop().unwrap();
    assert!(told.2.starts_with(r#"{"cause":"spool-full","count":3"#), "{}", told.2);
}

#[test]
fn a_viewer_who_floods_leaves_room_for_others() {
    let mut engine = engine(30_000);
    let denied = critical(operation(1000).denied(Text::lossy("no role")));
    let mut counted = 0;
    for _ in 0..10_000 {
        match engine.operation(&denied, "viewer", at(SECOND)) {
            Some((_, Kept::Counted)) => counted += 1,
            None => drop(engine.commit()),
            Some(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(counted, 9_990);
    assert_eq!(engine.operation(&critical(operation(0)), "root", at(SECOND)), None);
    engine.tick(at(62 * SECOND));
    engine.commit().1.unwrap();
    let told = records(&engine).pop().unwrap().2;
    assert_eq!(told, r#"{"cause":"coalesced","count":9990,"uid":1000}"#);
}

#[test]
fn a_clock_that_is_set_is_a_record_and_the_order_stays() {
    let mut engine = engine(100_000);
    engine.tick(at(SECOND));
    engine.tick(Timestamp { realtime_ns: EPOCH + 3600 * SECOND, ..at(2 * SECOND) });
    engine.tick(Timestamp { realtime_ns: 5, ..at(3 * SECOND) });
    engine.commit().1.unwrap();
    let steps: Vec<_> = records(&engine)
        .iter()
        .map(|(_, _, payload)| ClockStep::from_json(payload.as_bytes()).unwrap())
        .collect();
    let [forward, back] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!(forward.before_ns, EPOCH + 2 * SECOND);
    assert_eq!(forward.after_ns, EPOCH + 3600 * SECOND);
    assert_eq!((back.before_ns, back.after_ns), (EPOCH + 3601 * SECOND, 5));
}

#[test]
fn checkpoints_come_by_number_and_by_time_and_the_first_is_bound() {
    let mut engine = engine(1_000_000);
    engine.operation(&critical(operation(0)), "a", at(SECOND));
    drop(engine.commit());
    assert_eq!(engine.checkpoint(62 * SECOND), None, "without the TPM's word");
    assert_eq!(engine.next_deadline(), None, "nothing to do until it comes");
    engine.bind(Some(binding()));
    let first = engine.checkpoint(62 * SECOND).unwrap();
    assert_eq!((first.size, first.boot), (1, Some(binding())));
    assert_eq!(engine.checkpoint(63 * SECOND), None, "one at a time");
    engine.not_signed(63 * SECOND);
    assert_eq!(engine.checkpoint(67 * SECOND), None, "the key is not asked for at once again");
    let again = engine.checkpoint(68 * SECOND).unwrap();
    engine.signed("note", true, at(124 * SECOND));
    drop(engine.commit());
    assert_eq!(again, first);
    assert_eq!(engine.checkpoint(u64::MAX), None, "nothing happened since");
    assert_eq!(engine.next_deadline(), None);
    for serial in 0..1000 {
        engine.kernel(&execution(serial), at(130 * SECOND));
    }
    drop(engine.commit());
    let second = engine.checkpoint(130 * SECOND).unwrap();
    assert_eq!((second.size, second.boot), (1002, None));
    engine.signed("note", false, at(131 * SECOND));
    engine.operation(&critical(operation(0)), "b", at(140 * SECOND));
    drop(engine.commit());
    assert_eq!(engine.checkpoint(199 * SECOND), None, "not due");
    assert_eq!(engine.checkpoint(200 * SECOND).unwrap().size, 1004);
}

#[test]
fn what_a_power_cut_left_is_told_first() {
    let (spool, _) = Spool::open(Simulated::default(), Limits::default(), || {
        Origin::new("holdfast/audit/00").unwrap()
    })
    .unwrap();
    let recovered = Recovered { bytes: 9, fault: Text::lossy("cut off") };
    let assembler = Assembler::new(AssemblerLimits::default());
    let mut engine = TestEngine::new(spool, assembler, Some(&recovered), at(0));
    drop(engine.commit());
    assert_eq!(kinds(&engine), [Kind::Recovered]);
}
