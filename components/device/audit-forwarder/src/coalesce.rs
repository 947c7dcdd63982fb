//! Refused calls, told one by one only while they are few: who may nothing must not fill the log.

use std::collections::BTreeMap;

use holdfast_audit_log::{ActorKind, AuditRecord, Decision, Loss, LossCause};

/// Refused calls of one user that are recorded one by one in a window.
const ONE_BY_ONE: u64 = 10;
/// Length of a window, nanoseconds.
const WINDOW_NS: u64 = 60_000_000_000;
/// Users that are told apart; those beyond share one count.
const MOST_USERS: usize = 256;

/// Counts refused calls by user.
#[derive(Debug, Default)]
pub struct Coalescer {
    users: BTreeMap<Option<u32>, Window>,
}

#[derive(Debug)]
struct Window {
    since: u64,
    calls: u64,
}

impl Coalescer {
    /// Whether a record is to be kept by itself; else it is counted.
    pub fn takes(&mut self, record: &AuditRecord, now: u64) -> bool {
        if record.decision() != Decision::Denied || is_own_decision(record) {
            return true;
        }
        let user = record.actor().uid;
        let is_known = self.users.contains_key(&user) || self.users.len() < MOST_USERS;
        let user = user.filter(|_| is_known);
        let window = self.users.entry(user).or_insert(Window { since: now, calls: 0 });
        window.calls += 1;
        window.calls <= ONE_BY_ONE
    }

    /// Counts of windows that are over, as they go into the log.
    pub fn tick(&mut self, now: u64) -> Vec<Loss> {
        let mut counts = Vec::new();
        self.users.retain(|user, window| {
            let is_over = now.saturating_sub(window.since) >= WINDOW_NS;
            if is_over && let Some(loss) = window.loss(*user) {
                counts.push(loss);
            }
            !is_over
        });
        counts
    }

    /// All counts, when the daemon ends.
    pub fn flush(&mut self) -> Vec<Loss> {
        let users = std::mem::take(&mut self.users);
        users.into_iter().filter_map(|(user, window)| window.loss(user)).collect()
    }

    /// When [`Self::tick`] has something to say, nanoseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.users.values().map(|window| window.since.saturating_add(WINDOW_NS)).min()
    }
}

/// Whether nobody called: the device itself refuses something, as in what is plugged in. A caller who
/// cannot be found out has at least a name.
fn is_own_decision(record: &AuditRecord) -> bool {
    let actor = record.actor();
    actor.kind == ActorKind::System && actor.uid.is_none() && actor.name.is_none()
}

impl Window {
    fn loss(&self, uid: Option<u32>) -> Option<Loss> {
        let count = self.calls.checked_sub(ONE_BY_ONE).filter(|count| *count > 0)?;
        Some(Loss { uid, ..Loss::new(LossCause::Coalesced, count) })
    }
}

#[cfg(test)]
mod tests {
    use holdfast_audit_log::{Action, Actor, Source, Text};
    use time::OffsetDateTime;

    use super::*;

    fn record(uid: u32) -> AuditRecord {
        AuditRecord::new(
            OffsetDateTime::UNIX_EPOCH,
            Source::device("enroller").unwrap(),
            Actor::user(uid),
            Action::new("identity.sign").unwrap(),
            Text::default(),
        )
    }

    fn denied(uid: u32) -> AuditRecord {
        record(uid).denied(Text::lossy("no role"))
    }

    #[test]
    fn a_flood_is_ten_records_and_a_number() {
        let mut coalescer = Coalescer::default();
        let taken = (0..1000).filter(|_| coalescer.takes(&denied(1000), 5)).count();
        assert_eq!(taken, 10);
        assert!(coalescer.takes(&denied(1001), 6), "another user");
        assert!(coalescer.takes(&record(1000), 6), "what was allowed is never only counted");
        assert_eq!(coalescer.next_deadline(), Some(5 + WINDOW_NS));
        assert_eq!(coalescer.tick(5 + WINDOW_NS - 1), []);
        let [loss] = &coalescer.tick(6 + WINDOW_NS)[..] else { panic!("not one") };
        assert_eq!((loss.count, loss.uid, loss.cause), (990, Some(1000), LossCause::Coalesced));
        assert!(coalescer.takes(&denied(1000), 7 + WINDOW_NS), "a new window");
        assert_eq!(coalescer.flush(), []);
    }

    #[test]
    fn what_the_device_itself_refuses_is_told_one_by_one() {
        let by = |actor| {
            let action = Action::new("usb.block").unwrap();
            let source = Source::device("usb").unwrap();
            AuditRecord::new(OffsetDateTime::UNIX_EPOCH, source, actor, action, Text::default())
                .denied(Text::lossy("implicit"))
        };
        let mut coalescer = Coalescer::default();
        assert!((0..1000).all(|_| coalescer.takes(&by(Actor::system()), 5)));
        let unknown = Actor { name: Some(Text::lossy(":1.7")), ..Actor::system() };
        let taken = (0..1000).filter(|_| coalescer.takes(&by(unknown.clone()), 5)).count();
        assert_eq!(taken, 10, "a caller who is not found out is a caller");
    }

    #[test]
    fn many_users_share_the_last_place() {
        let mut coalescer = Coalescer::default();
        for uid in 0..10_000 {
            coalescer.takes(&denied(uid), 0);
        }
        assert_eq!(coalescer.users.len(), MOST_USERS + 1);
        let [loss] = &coalescer.flush()[..] else { panic!("not one") };
        assert_eq!((loss.uid, loss.count), (None, 10_000 - MOST_USERS as u64 - 10));
    }
}
