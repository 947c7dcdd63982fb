//! The power is cut after every single effect, keys are typed, the cloud comes and goes, operators
//! change: whoever asks the cloud always gets a key that opens the volume.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_recovery::{Occasion, RecoveryKey, Verifier};

use super::{
    World,
    decide::{Key, Observation, Step},
    record::Record,
    settle,
};

const CUT: &str = "the power was cut";
const VOLUME: [u8; 32] = [9; 32];
const OPERATOR: [u8; 32] = [1; 32];
const OTHER_OPERATOR: [u8; 32] = [2; 32];

/// A device, its disk, its TPM and its cloud. A key is a number here.
#[derive(Debug, Clone)]
struct Model {
    /// Slots of the header, and the key that opens each.
    slots: BTreeMap<u32, u8>,
    /// The file, with the key that each wrapped one holds.
    keys: Vec<(Key, u8)>,
    record: Option<Record>,
    operator: Option<[u8; 32]>,
    next_key: u8,
    /// What the cloud has.
    cloud: Vec<u8>,
    /// What the cloud said it has; the device hears of it.
    heard: Vec<u8>,
    /// Effects until the power is cut.
    budget: usize,
}

fn recovery_key(key: u8) -> RecoveryKey {
    RecoveryKey::from_bytes(&[key; 32])
}

fn verifier(key: u8) -> Verifier {
    recovery_key(key).verifier(&VOLUME)
}

impl Model {
    fn new() -> Self {
        Self {
            slots: BTreeMap::new(),
            keys: Vec::new(),
            record: None,
            operator: Some(OPERATOR),
            next_key: 1,
            cloud: Vec::new(),
            heard: Vec::new(),
            budget: usize::MAX,
        }
    }

    /// A device whose first key the cloud has.
    fn settled() -> Self {
        let mut model = Self::new();
        model.boot_and_hand_over();
        model.boot_and_hand_over();
        model
    }

    fn effect(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), String> {
        if self.budget == 0 {
            return Err(CUT.to_owned());
        }
        self.budget -= 1;
        change(self);
        self.check();
        Ok(())
    }

    /// What must hold at every instant.
    fn check(&self) {
        let known: BTreeSet<u8> = self.keys.iter().map(|(_, key)| *key).collect();
        let unknown = self.slots.values().filter(|key| !known.contains(key)).count();
        assert!(unknown <= 1, "{self:?}");
        assert!(self.slots.len() <= 3, "{self:?}");
        if !self.cloud.is_empty() {
            assert!(self.cloud.iter().any(|&key| self.opens(key)), "nothing opens it: {self:?}");
        }
    }

    /// Whether the locked device takes a key that somebody types.
    fn opens(&self, key: u8) -> bool {
        let accepted = self.record.as_ref().is_some_and(|r| r.accepts(&recovery_key(key)));
        accepted && self.slots.values().any(|&slot| slot == key)
    }

    fn boot(&mut self) -> Result<(), String> {
        settle(self)
    }

    /// The enroller hands the file over, and the cloud replaces what it had.
    fn hand_over(&mut self) {
        let keys: Vec<u8> = self.keys.iter().map(|(_, key)| *key).collect();
        if !keys.is_empty() {
            self.cloud.clone_from(&keys);
            self.check();
            self.heard = keys;
        }
    }

    fn boot_and_hand_over(&mut self) {
        self.boot().unwrap();
        self.hand_over();
    }

    /// The locked device: somebody types a key that the cloud gave him.
    fn recover(&mut self) {
        let key = *self.cloud.iter().rev().find(|&&key| self.opens(key)).unwrap();
        for (known, number) in &mut self.keys {
            known.used |= *number == key;
        }
    }
}

impl World for Model {
    fn observe(&mut self) -> Result<Observation, String> {
        let held: Vec<u8> = self.keys.iter().map(|(_, key)| *key).collect();
        Ok(Observation {
            operator: self.operator,
            keys: self.keys.iter().map(|(key, _)| key.clone()).collect(),
            slots: self.slots.keys().copied().collect(),
            record: self.record.clone(),
            volume: VOLUME,
            cloud_has_them: !held.is_empty() && held == self.heard,
        })
    }

    fn perform(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Wipe(slot) => self.effect(|m| {
                m.slots.remove(&slot);
            }),
            Step::Forget(slot) => self.effect(|m| m.keys.retain(|(key, _)| key.slot != slot)),
            Step::Acknowledge => {
                self.effect(|m| m.keys.iter_mut().for_each(|(key, _)| key.acknowledged = true))
            }
            Step::WriteRecord => {
                // Another volume's record makes way: the index is removed, defined and written.
                if self.record.is_none() {
                    self.effect(|_| {})?;
                }
                self.effect(|m| {
                    let verifiers = m.keys.iter().map(|(key, _)| key.verifier).collect();
                    m.record = Some(Record { volume: VOLUME, verifiers });
                })
            }
            Step::Make(_) => {
                let slot = (1..32).find(|slot| !self.slots.contains_key(slot)).unwrap();
                let key = self.next_key;
                self.next_key += 1;
                let operator = self.operator.unwrap();
                self.effect(|m| {
                    m.slots.insert(slot, key);
                })?;
                let known = Key {
                    slot,
                    operator,
                    verifier: verifier(key),
                    acknowledged: false,
                    used: false,
                };
                self.effect(|m| m.keys.push((known, key)))
            }
        }
    }
}

#[test]
fn the_first_key_is_made_once_and_kept() {
    let mut model = Model::new();
    for _ in 0..3 {
        model.boot_and_hand_over();
        assert_eq!((model.cloud.as_slice(), model.slots.len()), ([1].as_slice(), 1));
        assert!(model.opens(1));
    }
    assert!(model.keys[0].0.acknowledged);
}

#[test]
fn without_an_operators_key_there_is_no_recovery_key() {
    let mut model = Model { operator: None, ..Model::new() };
    model.boot().unwrap();
    assert!(model.slots.is_empty() && model.record.is_none());
    // A site that no longer names one does not take away what there is.
    let mut model = Model { operator: None, ..Model::settled() };
    model.boot_and_hand_over();
    assert!(model.opens(1));
}

#[test]
fn a_used_key_is_destroyed_once_the_cloud_has_its_successor() {
    let mut model = Model::settled();
    model.recover();
    model.boot().unwrap();
    assert!(model.opens(1) && model.opens(2));
    model.hand_over();
    model.boot_and_hand_over();
    assert!(!model.opens(1) && model.opens(2));
    assert_eq!(model.cloud, [2]);
}

#[test]
fn a_new_operator_gets_a_key_of_his_own() {
    let mut model = Model::settled();
    model.operator = Some(OTHER_OPERATOR);
    model.boot_and_hand_over();
    model.boot_and_hand_over();
    assert_eq!(model.cloud, [2]);
    assert_eq!(model.keys[0].0.operator, OTHER_OPERATOR);
    assert!(!model.opens(1));
}

#[test]
fn a_key_that_was_never_acknowledged_makes_way_for_one_of_the_right_operator() {
    let mut model = Model::settled();
    model.operator = Some(OTHER_OPERATOR);
    model.boot().unwrap();
    model.operator = Some([3; 32]);
    model.boot().unwrap();
    assert!(model.opens(1) && !model.opens(2) && model.opens(3));
    assert_eq!(model.slots.len(), 2);
}

#[test]
fn slots_that_nobody_knows_are_emptied() {
    let mut model = Model::settled();
    model.slots.insert(7, 77);
    model.boot().unwrap();
    assert_eq!(model.slots.values().copied().collect::<Vec<_>>(), [1]);
}

#[test]
fn a_file_that_is_lost_costs_its_keys_and_no_more() {
    let mut model = Model::settled();
    (model.keys, model.cloud) = (Vec::new(), Vec::new());
    model.boot_and_hand_over();
    assert!(!model.opens(1) && model.opens(2));
}

#[test]
fn occasions() {
    let seen = |keys: Vec<Key>| Observation {
        operator: Some(OPERATOR),
        slots: keys.iter().map(|key| key.slot).collect(),
        record: Some(Record {
            volume: VOLUME,
            verifiers: keys.iter().map(|key| key.verifier).collect(),
        }),
        keys,
        volume: VOLUME,
        cloud_has_them: false,
    };
    let key =
        |operator, used| Key { slot: 1, operator, verifier: verifier(1), acknowledged: true, used };
    for (keys, step) in [
        (vec![], Some(Step::Make(Occasion::First))),
        (vec![key(OPERATOR, false)], None),
        (vec![key(OPERATOR, true)], Some(Step::Make(Occasion::Recovery))),
        (vec![key(OTHER_OPERATOR, false)], Some(Step::Make(Occasion::NewOperator))),
    ] {
        assert_eq!(super::next(&seen(keys)), step);
    }
}

/// Everything that can go on at a device, in some order, with a power cut after each effect.
#[test]
fn a_power_cut_after_every_effect_leaves_a_key_that_the_cloud_has() {
    type Turn = fn(&mut Model);
    let turns: [Turn; 4] = [
        |_| {},
        Model::hand_over,
        |model| {
            if !model.cloud.is_empty() {
                model.recover();
            }
        },
        |model| model.operator = Some(OTHER_OPERATOR),
    ];
    let mut orders: Vec<Vec<Turn>> = vec![Vec::new()];
    for _ in 0..4 {
        let longer = orders
            .iter()
            .flat_map(|order| turns.iter().map(move |turn| [order.as_slice(), &[*turn]].concat()));
        orders = longer.collect();
    }
    for order in orders {
        for budget in 0..8 {
            let mut model = Model { budget, ..Model::settled() };
            for turn in &order {
                turn(&mut model);
                model.check();
                if let Err(error) = model.boot() {
                    assert_eq!(error, CUT);
                    model.budget = budget;
                }
            }
            model.budget = usize::MAX;
            model.boot_and_hand_over();
            model.boot_and_hand_over();
            assert_eq!((model.cloud.len(), model.slots.len()), (1, 1), "{model:?}");
            assert!(model.opens(model.cloud[0]), "{model:?}");
        }
    }
}
