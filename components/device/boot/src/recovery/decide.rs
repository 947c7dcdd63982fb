//! What to do next about the recovery keys, from what is observed. Pure.
//!
//! The rules hold at every instant, also where the power is cut: once the cloud has had a key, there
//! is always one that it has and that opens the volume; and no slot stays whose key nobody knows.

use std::collections::BTreeSet;

use holdfast_recovery::{Occasion, Verifier};

use super::record::Record;

/// What is known at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// SHA-256 of the operator's public key; none if there is none to wrap to.
    pub operator: Option<[u8; 32]>,
    /// The keys that the device remembers, oldest first.
    pub keys: Vec<Key>,
    /// The slots of the volume that are not the TPM's.
    pub slots: BTreeSet<u32>,
    /// What the TPM keeps.
    pub record: Option<Record>,
    /// The volume's identity.
    pub volume: [u8; 32],
    /// Whether the cloud says that it has exactly these keys.
    pub cloud_has_them: bool,
}

/// A key that the device remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its slot.
    pub slot: u32,
    /// SHA-256 of the public key it was wrapped to.
    pub operator: [u8; 32],
    /// Tells it from others.
    pub verifier: Verifier,
    /// The cloud has it.
    pub acknowledged: bool,
    /// Somebody typed it.
    pub used: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Empty a slot.
    Wipe(u32),
    /// Forget the key of a slot that is empty.
    Forget(u32),
    /// Note that the cloud has every key.
    Acknowledge,
    /// Make the TPM keep what belongs to these keys.
    WriteRecord,
    /// Make a key.
    Make(Occasion),
}

/// Decides what comes next; nothing if all is as it should be.
pub fn next(seen: &Observation) -> Option<Step> {
    if let Some(&stray) = seen.slots.iter().find(|&&slot| seen.keys.iter().all(|k| k.slot != slot))
    {
        return Some(Step::Wipe(stray));
    }
    if let Some(gone) = seen.keys.iter().find(|key| !seen.slots.contains(&key.slot)) {
        return Some(Step::Forget(gone.slot));
    }
    let Some(newest) = seen.keys.last() else {
        return seen.operator.is_some().then_some(Step::Make(Occasion::First));
    };
    if seen.cloud_has_them && seen.keys.iter().any(|key| !key.acknowledged) {
        return Some(Step::Acknowledge);
    }
    let record = Record {
        volume: seen.volume,
        verifiers: seen.keys.iter().map(|key| key.verifier).collect(),
    };
    if seen.record.as_ref() != Some(&record) {
        return Some(Step::WriteRecord);
    }
    let oldest = (seen.keys.len() > 1).then(|| seen.keys[0].slot);
    if let Some(oldest) = oldest
        && newest.acknowledged
    {
        return Some(Step::Wipe(oldest));
    }
    let operator = seen.operator?;
    let occasion = if newest.used {
        Occasion::Recovery
    } else if newest.operator != operator {
        Occasion::NewOperator
    } else {
        return None;
    };
    Some(match oldest {
        None => Step::Make(occasion),
        // Whoever typed the newest key got it from the cloud.
        Some(oldest) if newest.used => Step::Wipe(oldest),
        Some(_) => Step::Wipe(newest.slot),
    })
}
