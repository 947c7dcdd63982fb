//! The state volume while it is open: its key slots, the file about them, and the TPM's record.

use std::path::{Path, PathBuf};

use holdfast_disk::types;
use holdfast_recovery::{Occasion, Recipient, RecoveryKey, Statement, WrappedKey};
use holdfast_tpm::Tpm;
use time::OffsetDateTime;

use super::{
    World,
    decide::{Key, Observation, Step},
    keyslots,
    record::Record,
    state::{self, Known, State},
};
use crate::{
    audit::{self, MAKE_RECOVERY_KEY},
    boot_disk::BootDisk,
    console::{milestone, note},
    disk_file_system::Detached,
    places::Places,
    var::luks::Header,
};

/// The open volume.
pub struct Volume<'a> {
    places: &'a Places,
    tpm: &'a Tpm,
    partition: PathBuf,
    files: &'a Detached,
    state: State,
    /// To whom new keys are wrapped.
    operator: Option<Recipient>,
    edge_id: String,
    acknowledged: Option<[u8; 32]>,
}

/// The partition of the state volume, on the boot disk.
pub fn find_partition(places: &Places) -> Result<PathBuf, String> {
    let disk = BootDisk::find(places).map_err(|error| error.to_string())?;
    let partitions = disk.partitions(types::VAR).map_err(|error| error.to_string())?;
    let [one] = partitions.as_slice() else {
        return Err(format!("the boot disk has {} partitions of type var", partitions.len()));
    };
    disk.partition_device(one.number).map_err(|error| error.to_string())
}

impl<'a> Volume<'a> {
    /// The volume on a partition with its files. A file about recovery that cannot be read is as
    /// good as none: its keys are made anew.
    pub fn open(
        places: &'a Places,
        tpm: &'a Tpm,
        partition: &Path,
        files: &'a Detached,
    ) -> Result<Self, String> {
        let read = files.read(state::NAME, state::LIMIT);
        let state = match read.map_err(|error| format!("/var/{}: {error}", state::NAME))? {
            None => State::default(),
            Some(bytes) => State::parse(&bytes).unwrap_or_else(|why| {
                note(format_args!("/var/{}: {why}; recovery keys are made anew", state::NAME));
                State::default()
            }),
        };
        Ok(Self {
            places,
            tpm,
            partition: partition.to_owned(),
            files,
            operator: state.recipient(),
            edge_id: state.edge_id.clone(),
            state,
            acknowledged: None,
        })
    }

    /// Takes another key of the operator, and the device's name, for keys to be made.
    pub fn wrap_to(&mut self, operator: Recipient, edge_id: String) {
        self.operator = Some(operator);
        self.edge_id = edge_id;
    }

    /// Takes what the cloud says that it has.
    pub fn acknowledge(&mut self, key_set: Option<[u8; 32]>) {
        self.acknowledged = key_set;
    }

    /// What is known about recovery.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Changes it, on the disk first.
    pub fn change(&mut self, change: impl FnOnce(&mut State)) -> Result<(), String> {
        let mut state = self.state.clone();
        change(&mut state);
        let json = state.to_json()?;
        self.files
            .write(state::NAME, &json)
            .map_err(|error| format!("cannot write {}: {error}", state::NAME))?;
        self.state = state;
        Ok(())
    }

    /// Notes that somebody typed a key, with the record of it.
    pub fn mark_used(&mut self, key: &RecoveryKey, record: String) -> Result<(), String> {
        let verifier = key.verifier(&self.header()?.identity());
        self.change(|state| {
            let used = state.keys.iter_mut().filter(|known| known.verifier() == verifier);
            used.for_each(|known| known.used = true);
            state.records.push(record);
        })
    }

    fn header(&self) -> Result<Header, String> {
        Header::read(&self.partition)
    }

    fn make(&mut self, occasion: Occasion) -> Result<(), String> {
        let operator = self.operator.clone().ok_or("there is no public key of the operator")?;
        let before = self.header()?.slots_of_people();
        let key = keyslots::add(self.places, &self.partition)?;
        let header = self.header()?;
        let added: Vec<u32> = header.slots_of_people().difference(&before).copied().collect();
        let &[keyslot] = added.as_slice() else {
            return Err(format!("systemd-cryptenroll added the slots {added:?}, expected one"));
        };
        let statement = Statement {
            edge_id: self.edge_id.clone(),
            luks_uuid: header.uuid.clone(),
            keyslot,
            created: OffsetDateTime::now_utc(),
            occasion,
            key,
        };
        let wrapped = WrappedKey::seal(&statement, &operator).map_err(|error| error.to_string())?;
        let known = Known::new(wrapped, statement.key.verifier(&header.identity()));
        let arguments = [occasion.as_str().as_bytes(), operator.sha256()];
        let record = audit::record(MAKE_RECOVERY_KEY, &header.uuid, &arguments)?;
        let pem = operator.to_pem().map_err(|error| error.to_string())?;
        let edge_id = self.edge_id.clone();
        self.change(|state| {
            state.keys.push(known);
            state.records.push(record);
            state.recipient = pem;
            state.edge_id = edge_id;
        })?;
        milestone(format_args!("recovery key made slot={keyslot} occasion={}", occasion.as_str()));
        Ok(())
    }
}

impl World for Volume<'_> {
    fn observe(&mut self) -> Result<Observation, String> {
        let header = self.header()?;
        let key_set = self.state.key_set_sha256();
        Ok(Observation {
            operator: self.operator.as_ref().map(|operator| *operator.sha256()),
            keys: self.state.keys.iter().map(key).collect::<Result<_, _>>()?,
            slots: header.slots_of_people(),
            record: Record::read(self.tpm).map_err(|error| error.to_string())?,
            volume: header.identity(),
            cloud_has_them: key_set.is_some() && key_set == self.acknowledged,
        })
    }

    fn perform(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Wipe(slot) => {
                keyslots::wipe(&self.partition, slot).map_err(|error| error.to_string())?;
                note(format_args!("recovery: slot {slot} is empty"));
                Ok(())
            }
            Step::Forget(slot) => {
                self.change(|state| state.keys.retain(|known| known.slot() != slot))
            }
            Step::Acknowledge => {
                self.change(|state| state.keys.iter_mut().for_each(|key| key.acknowledged = true))
            }
            Step::WriteRecord => {
                let volume = self.header()?.identity();
                let verifiers = self.state.keys.iter().map(Known::verifier).collect();
                let record = Record { volume, verifiers };
                record.write(self.tpm).map_err(|error| error.to_string())
            }
            Step::Make(occasion) => self.make(occasion),
        }
    }
}

fn key(known: &Known) -> Result<Key, String> {
    let mut operator = [0; 32];
    hex::decode_to_slice(&known.wrapped.recipient_sha256, &mut operator)
        .map_err(|error| format!("{}: recipient_sha256: {error}", state::NAME))?;
    Ok(Key {
        slot: known.slot(),
        operator,
        verifier: known.verifier(),
        acknowledged: known.acknowledged,
        used: known.used,
    })
}
