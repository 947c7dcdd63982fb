//! What to send next. It decides and does nothing: whoever drives it does the steps and says what
//! the connector answered.
//!
//! The connector's size of the log is the cursor. A connector that has other records than this disk
//! under the same numbers has seen a copy of it: a disk that was put back, or cloned. Then another
//! log begins, into which goes every record that the connector has not got; where the two part is
//! found by halving, since each record holds the hash of the one before.

use holdfast_audit_log::Text;

use crate::spool::{Carry, PreviousLog, Refusal};

/// Records of one upload at most.
const MOST: u64 = 20_000;
/// A record that was refused so often by itself is left aside.
const PATIENCE: u32 = 3;

/// The log on this disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Sequence number of the oldest record.
    pub first: u64,
    /// Records that are durable.
    pub size: u64,
    /// Hash of the last of them, hexadecimal.
    pub head: String,
}

/// What the connector has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Records.
    pub size: u64,
    /// Hash of the last, hexadecimal.
    pub head: String,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask what the connector has.
    Ask,
    /// Register the log.
    Register,
    /// Send records from this one on, so many at most.
    Send {
        /// Sequence number of the first.
        from: u64,
        /// Most records.
        most: u64,
    },
    /// Send one record that both may have.
    Probe(u64),
    /// Begin another log.
    Replace(Carry),
    /// There is nothing to do until there are more records.
    Rest,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done; this is stored now.
    Stored(Stored),
    /// The connector does not know the log.
    Unknown,
    /// The records do not follow on what is stored.
    Gap(Stored),
    /// Other records are stored under these numbers.
    Fork(Stored),
    /// The log is of no more use: closed, of another device, or of another key.
    Closed(Option<Stored>),
    /// The upload is too long.
    TooLong,
    /// The records are not taken.
    Refused(String),
}

/// The state of the conversation about one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    stored: Option<Stored>,
    is_unknown: bool,
    search: Option<Search>,
    replaces: Option<Carry>,
    most: Option<u64>,
    refusals: u32,
}

/// Records below `low` are the same on both sides, that at `high` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Search {
    low: u64,
    high: u64,
    /// The record at `high` was seen to differ; else it is only the end of what was there.
    has_parted: bool,
}

impl Cursor {
    /// What the connector was last heard to have.
    pub fn stored(&self) -> Option<&Stored> {
        self.stored.as_ref()
    }

    /// The next step. `log` is the log's id.
    pub fn step(&mut self, log: &str, local: &Local) -> Step {
        if let Some(carry) = &self.replaces {
            return Step::Replace(carry.clone());
        }
        if let Some(search) = self.search {
            if search.low < search.high {
                return Step::Probe(search.middle());
            }
            if !search.has_parted && local.size > search.high {
                // Written meanwhile, and sure to differ: the connector is to see that, and to alarm.
                self.search = Some(Search { high: local.size, ..search });
                return self.step(log, local);
            }
            return Step::Replace(self.carry(log, search.low, None));
        }
        let Some(stored) = &self.stored else {
            return if self.is_unknown { Step::Register } else { Step::Ask };
        };
        let has_parted = stored.size == local.size && stored.head != local.head;
        if stored.size > local.size || has_parted {
            // This disk was put back: what it has may be the same as far as it goes.
            self.search = Some(Search { low: local.first, high: local.size, has_parted: false });
            return self.step(log, local);
        }
        if stored.size < local.first {
            // The connector was put back, or lost records that it had signed for.
            return Step::Replace(self.carry(log, local.first, None));
        }
        if stored.size == local.size {
            return Step::Rest;
        }
        Step::Send { from: stored.size, most: self.most.unwrap_or(MOST) }
    }

    /// Goes on with what came of a step.
    pub fn reply(&mut self, log: &str, local: &Local, step: &Step, reply: Reply) {
        match (step, reply) {
            (Step::Probe(at), Reply::Stored(stored)) => {
                self.stored = Some(stored);
                if let Some(search) = &mut self.search {
                    search.low = at + 1;
                }
            }
            (Step::Probe(at), Reply::Fork(stored)) => {
                self.stored = Some(stored);
                if let Some(search) = &mut self.search {
                    search.high = *at;
                    search.has_parted = true;
                }
            }
            (_, Reply::Stored(stored)) => {
                *self = Self { stored: Some(stored), ..Self::default() };
            }
            (_, Reply::Unknown) => *self = Self { is_unknown: true, ..Self::default() },
            (_, Reply::Gap(stored)) => {
                self.search = None;
                self.stored = Some(stored);
            }
            (Step::Send { from, .. }, Reply::Fork(stored)) => {
                let high = (*from).clamp(local.first, local.size);
                self.search = Some(Search { low: local.first, high, has_parted: true });
                self.stored = Some(stored);
            }
            (_, Reply::Fork(stored)) => self.stored = Some(stored),
            (_, Reply::Closed(stored)) => {
                if stored.is_some() {
                    self.stored = stored;
                }
                let has = self.stored.as_ref().map_or(0, |stored| stored.size);
                let from = has.clamp(local.first, local.size);
                self.replaces = Some(self.carry(log, from, None));
            }
            (Step::Send { from, most }, Reply::TooLong) if *most > 1 => {
                self.most = Some((most / 2).min(local.size.saturating_sub(*from)).max(1));
            }
            (Step::Send { from, most: 1 }, Reply::TooLong) => {
                self.refused(log, *from, "too long");
            }
            (Step::Send { from, most: 1 }, Reply::Refused(reason)) => {
                self.refused(log, *from, &reason);
            }
            // One by one: all before the one that is refused are stored then.
            (Step::Send { .. }, Reply::Refused(_)) => self.most = Some(1),
            (_, Reply::TooLong | Reply::Refused(_)) => {}
        }
    }

    fn refused(&mut self, log: &str, sequence: u64, reason: &str) {
        self.refusals += 1;
        if self.refusals >= PATIENCE {
            let refusal = Refusal { sequence, reason: Text::lossy(reason) };
            self.replaces = Some(self.carry(log, sequence, Some(refusal)));
        }
    }

    fn carry(&self, log: &str, from: u64, refused: Option<Refusal>) -> Carry {
        let previous = self.stored.clone().map(|Stored { size, head }| PreviousLog {
            log: log.to_owned(),
            size,
            head,
        });
        Carry { from, refused, previous }
    }
}

impl Search {
    fn middle(self) -> u64 {
        self.low + (self.high - self.low) / 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOG: &str = "0123456789abcdef0123456789abcdef";

    fn head(records: &[u32]) -> String {
        records.last().map(u32::to_string).unwrap_or_default()
    }

    /// A connector with records that are numbers, as it answers.
    #[derive(Clone, Debug, Default)]
    struct Model {
        is_known: bool,
        records: Vec<u32>,
        is_forked: bool,
        /// A record that it never takes.
        poison: Option<u32>,
        longest: usize,
    }

    impl Model {
        fn stored(&self) -> Stored {
            Stored { size: self.records.len() as u64, head: head(&self.records) }
        }

        /// `before` is the record before those that are sent, as each record says by its hash.
        fn take(&mut self, from: u64, before: Option<u32>, sent: &[u32]) -> Reply {
            let from = usize::try_from(from).unwrap();
            if sent.len() > self.longest {
                return Reply::TooLong;
            }
            if sent.iter().any(|record| Some(*record) == self.poison) {
                return Reply::Refused("poison".to_owned());
            }
            if from > self.records.len() {
                return Reply::Gap(self.stored());
            }
            let known = &self.records[from..];
            let common = known.iter().zip(sent).take_while(|(a, b)| a == b).count();
            let is_repeat = common == sent.len();
            let stands = from.checked_sub(1).map(|before| self.records[before]);
            let follows = before.is_none() || stands == before;
            if is_repeat && follows {
                return Reply::Stored(self.stored());
            }
            if common < known.len() || self.is_forked || !follows {
                self.is_forked = true;
                return Reply::Fork(self.stored());
            }
            self.records.extend(&sent[common..]);
            Reply::Stored(self.stored())
        }
    }

    /// Drives a cursor against the model until it rests; what a carry leaves is the next log's.
    fn drive(model: &mut Model, mut local: Vec<u32>, mut first: u64) -> (Vec<u32>, usize, usize) {
        let mut cursor = Cursor::default();
        let (mut logs, mut steps) = (1, 0);
        let mut aside = Vec::new();
        let mut all = Vec::new();
        loop {
            steps += 1;
            assert!(steps < 2000, "it never ends: {cursor:?} {model:?}");
            let size = first + local.len() as u64;
            let here = Local { first, size, head: head(&local) };
            let step = cursor.step(LOG, &here);
            let slice = |from: u64, most: u64| {
                let start = usize::try_from(from - first).unwrap();
                let end = local.len().min(start.saturating_add(usize::try_from(most).unwrap()));
                local[start..end].to_vec()
            };
            let before = |from: u64| {
                local.get(usize::try_from(from - first).unwrap().checked_sub(1)?).copied()
            };
            let reply = match &step {
                Step::Rest => {
                    all.extend(&model.records);
                    all.extend(&aside);
                    return (all, logs, steps);
                }
                Step::Ask if model.is_known => Reply::Stored(model.stored()),
                Step::Ask => Reply::Unknown,
                Step::Register => {
                    model.is_known = true;
                    Reply::Stored(model.stored())
                }
                Step::Send { from, most } => model.take(*from, before(*from), &slice(*from, *most)),
                Step::Probe(at) => model.take(*at, before(*at), &slice(*at, 1)),
                Step::Replace(carry) => {
                    let rest = slice(carry.from, u64::MAX / 2);
                    let refused = carry
                        .refused
                        .as_ref()
                        .map(|refused| local[usize::try_from(refused.sequence - first).unwrap()]);
                    aside.extend(refused);
                    local = rest.into_iter().filter(|record| Some(*record) != refused).collect();
                    first = 0;
                    all.extend(&model.records);
                    *model = Model { longest: model.longest, ..Model::default() };
                    cursor = Cursor::default();
                    logs += 1;
                    continue;
                }
            };
            cursor.reply(LOG, &here, &step, reply);
        }
    }

    fn model(records: Vec<u32>) -> Model {
        Model { is_known: true, records, longest: usize::MAX, ..Model::default() }
    }

    #[test]
    fn an_unknown_log_is_registered_and_sent() {
        let mut connector = Model { longest: usize::MAX, ..Model::default() };
        let (all, logs, steps) = drive(&mut connector, (0..50).collect(), 0);
        assert_eq!((all, logs, steps), ((0..50).collect(), 1, 4));
    }

    #[test]
    fn a_disk_that_was_put_back_goes_on_in_another_log() {
        // The connector has 0..80; the disk was put back to 60 and wrote 30 others.
        let mut local: Vec<u32> = (0..60).collect();
        local.extend(1060..1090);
        let (all, logs, steps) = drive(&mut model((0..80).collect()), local, 0);
        let mut expected: Vec<u32> = (0..80).collect();
        expected.extend(1060..1090);
        assert_eq!((all, logs), (expected, 2));
        assert!(steps < 20, "{steps}");
        // Nothing was written since: the connector has all of it, and the log is not gone on with.
        let (all, logs, _) = drive(&mut model((0..80).collect()), (0..60).collect(), 0);
        assert_eq!((all, logs), ((0..80).collect(), 2));
    }

    #[test]
    fn a_disk_that_was_put_back_is_seen_by_the_connector_as_soon_as_it_writes() {
        let (mut cursor, log) = (Cursor::default(), LOG);
        let stored = Stored { size: 80, head: "79".to_owned() };
        let mut local = Local { first: 0, size: 2, head: "1".to_owned() };
        cursor.reply(log, &local, &Step::Ask, Reply::Stored(stored.clone()));
        for at in [1, 3] {
            assert_eq!(cursor.step(log, &local), Step::Probe(at));
            cursor.reply(log, &local, &Step::Probe(at), Reply::Stored(stored.clone()));
            // Another two records are written.
            local.size += 2;
        }
        assert_eq!(cursor.step(log, &local), Step::Probe(5));
        cursor.reply(log, &local, &Step::Probe(5), Reply::Fork(stored.clone()));
        assert_eq!(cursor.step(log, &local), Step::Probe(4));
        cursor.reply(log, &local, &Step::Probe(4), Reply::Fork(stored));
        local.size += 2;
        assert!(matches!(cursor.step(log, &local), Step::Replace(Carry { from: 4, .. })));
    }

    #[test]
    fn a_connector_that_was_put_back_gets_what_is_here() {
        let (all, logs, _) = drive(&mut model((0..30).collect()), (50..90).collect(), 50);
        let mut expected: Vec<u32> = (0..30).collect();
        expected.extend(50..90);
        assert_eq!((all, logs), (expected, 2));
        // With some of it left, the same log goes on.
        let (all, logs, _) = drive(&mut model((0..60).collect()), (50..90).collect(), 50);
        assert_eq!((all, logs), ((0..90).collect(), 1));
    }

    #[test]
    fn a_poison_record_is_left_aside_and_holds_nothing_up() {
        let mut connector = Model { poison: Some(7), ..model(Vec::new()) };
        let (all, logs, _) = drive(&mut connector, (0..20).collect(), 0);
        let expected: Vec<u32> = (0..7).chain(8..20).chain([7]).collect();
        assert_eq!((all, logs), (expected, 2));
    }

    #[test]
    fn uploads_that_are_too_long_are_halved() {
        let mut connector = Model { longest: 3, ..model(Vec::new()) };
        let (all, logs, _) = drive(&mut connector, (0..100).collect(), 0);
        assert_eq!((all, logs), ((0..100).collect(), 1));
    }

    #[test]
    fn a_closed_log_is_gone_on_with_in_another() {
        let mut cursor = Cursor::default();
        let local = Local { first: 10, size: 90, head: "bb".to_owned() };
        let stored = Stored { size: 40, head: "aa".to_owned() };
        cursor.reply(LOG, &local, &Step::Ask, Reply::Stored(stored.clone()));
        let step = cursor.step(LOG, &local);
        assert_eq!(step, Step::Send { from: 40, most: MOST });
        cursor.reply(LOG, &local, &step, Reply::Closed(Some(stored)));
        let Step::Replace(carry) = cursor.step(LOG, &local) else { panic!("{cursor:?}") };
        let previous = PreviousLog { log: LOG.to_owned(), size: 40, head: "aa".to_owned() };
        assert_eq!((carry.from, carry.previous), (40, Some(previous)));
    }

    proptest! {
        /// Whatever the two sides have: in the end each record of the disk is stored once.
        #[test]
        fn each_record_is_stored_once(
            common in 0u32..40,
            theirs in 0u32..40,
            ours in 0u32..40,
            longest in prop::sample::select(vec![1usize, 7, 1000]),
        ) {
            let connector: Vec<u32> = (0..common).chain(2000 + common..2000 + common + theirs).collect();
            let local: Vec<u32> = (0..common).chain(1000 + common..1000 + common + ours).collect();
            let mut model = Model { longest, ..model(connector.clone()) };
            let (mut all, logs, _) = drive(&mut model, local.clone(), 0);
            prop_assert!(logs <= 2);
            all.sort_unstable();
            let mut expected = connector;
            expected.extend(local.iter().filter(|record| **record >= common));
            expected.sort_unstable();
            prop_assert_eq!(all, expected);
        }
    }
}
