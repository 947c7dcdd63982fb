//! The thread with a real folder: what happens when it is full.

use std::time::Instant;

use holdfast_audit_log::kernel::{Assembler, Limits as AssemblerLimits, MessageType};
use holdfast_audit_log::{Action, Actor, AuditRecord, Origin, Source, Text};
use time::OffsetDateTime;

use super::*;
use crate::spool::{Limits, Spool};

const SMALL: Limits = Limits { total: 400_000, segment: 40_000 };
const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    keeper: Keeper,
    end: oneshot::Receiver<Result<(), KeeperError>>,
    folder: tempfile::TempDir,
    serial: u32,
}

fn start(when_full: WhenFull) -> World {
    let folder = tempfile::tempdir().unwrap();
    let origin = || Origin::new("holdfast/audit/00").unwrap();
    let (spool, _) = Spool::open(Folder::new(folder.path()), SMALL, origin).unwrap();
    let path = folder.path().join("boot.json");
    let marker = BootMarker::open(&path, "ab", folder.path(), &spool);
    let assembler = Assembler::new(AssemblerLimits::default());
    let engine = Engine::new(spool, assembler, None, now());
    let (to_sign, _) = mpsc::channel(1);
    let (keeper, end) = Keeper::start(Parts { engine, when_full, marker, to_sign }).unwrap();
    World { keeper, end, folder, serial: 0 }
}

impl World {
    /// Hands events of programs over, each of its own serial number.
    fn events(&mut self, count: u32) {
        let mut batch = Batch::default();
        for _ in 0..count {
            self.serial += 1;
            let text = format!(
                "audit(1700000000.000:{}): arch=c000003e syscall=59 success=yes auid=1000 key=\"hf-exec\"",
                self.serial
            );
            batch.push(MessageType(1300), text.as_bytes());
            batch.push(
                MessageType::EOE,
                format!("audit(1700000000.000:{}): ", self.serial).as_bytes(),
            );
        }
        assert!(self.keeper.inbox().hand_over(&mut batch, 0));
    }

    async fn record(&self) -> Kept {
        let record = AuditRecord::new(
            OffsetDateTime::UNIX_EPOCH,
            Source::device("enroller").unwrap(),
            Actor::user(0),
            Action::new("identity.sign").unwrap(),
            Text::default(),
        );
        self.keeper.record(Record { class: Class::Authentication, record }).await
    }

    async fn until(&self, what: &str, is_wanted: impl Fn(&State) -> bool) -> State {
        let begun = Instant::now();
        loop {
            let state = self.keeper.state().borrow().clone();
            if is_wanted(&state) {
                return state;
            }
            assert!(begun.elapsed() < PATIENCE, "not {what}: {state:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        self.keeper.inbox().ask(Request::Stop).unwrap();
        self.end.await.unwrap().unwrap();
        drop(self.folder);
    }
}

#[tokio::test]
async fn drop_counts_what_has_no_room_and_refuses_calls_when_the_reserve_is_gone() {
    let mut world = start(WhenFull::Drop);
    world.events(4000);
    let full = world.until("full", |state| state.lost.contains_key(&LossCause::SpoolFull)).await;
    assert!(full.fill >= Fill::High && full.used <= SMALL.total, "{full:?}");
    // Critical records use the reserve, and are refused when it is gone.
    let refused = loop {
        match world.record().await {
            Kept::As(_) => {}
            Kept::Not(why) => break why,
            Kept::Counted => panic!("an allowed call is never only counted"),
        }
    };
    assert!(refused.contains("full"), "{refused}");
    // What the cloud has makes room, and all is well again.
    let size = world.keeper.flush().await.unwrap();
    world.keeper.inbox().ask(Request::Release(size)).unwrap();
    assert!(matches!(world.record().await, Kept::As(_)));
    let state = world.keeper.state().borrow().clone();
    let lost = state.lost[&LossCause::SpoolFull];
    assert_eq!(state.lost.len(), 1, "{state:?}");
    assert!(lost > 500 && lost < 4000, "{lost}");
    world.stop().await;
}

#[tokio::test]
async fn block_loses_nothing_and_goes_on_where_there_is_room() {
    let mut world = start(WhenFull::Block);
    let mut handed = 0;
    // Until the keeper leaves them waiting.
    while world.keeper.inbox().waiting() == 0 {
        world.events(50);
        handed += 50;
        world.keeper.flush().await.unwrap();
        assert!(handed < 10_000, "it never blocks");
    }
    // Calls of our daemons go on meanwhile.
    assert!(matches!(world.record().await, Kept::As(_)));
    let begun = Instant::now();
    while world.keeper.inbox().waiting() > 0 {
        assert!(begun.elapsed() < PATIENCE, "it blocks for ever");
        let size = world.keeper.flush().await.unwrap();
        world.keeper.inbox().ask(Request::Release(size)).unwrap();
    }
    let kept = world.until("all kept", |state| state.size > handed).await;
    assert_eq!((kept.size, kept.lost.len()), (handed + 1, 0));
    world.stop().await;
}

#[test]
fn halt_waits_for_the_connector_first() {
    let mut halt = Halt::default();
    let minute = 60_000_000_000;
    assert!(!halt.is_due(Fill::High, 0));
    assert!(!halt.is_due(Fill::Reserve, minute));
    assert!(!halt.is_due(Fill::Reserve, 10 * minute));
    // The connector took some.
    assert!(!halt.is_due(Fill::High, 11 * minute));
    assert!(!halt.is_due(Fill::Reserve, 12 * minute));
    assert!(!halt.is_due(Fill::Reserve, 22 * minute - 1));
    assert!(halt.is_due(Fill::Reserve, 22 * minute));
}
