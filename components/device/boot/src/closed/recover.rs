//! Opening the state volume with the recovery key, and everything that must follow: it is sealed
//! again to the present boot, gets a new recovery key, and the act is recorded.
//!
//! Each step leaves the volume in a state from which the next start goes on: before it is sealed,
//! the key still opens it; afterwards the TPM does.

use std::path::PathBuf;

use holdfast_recovery::RecoveryKey;
use holdfast_tpm::{BootPolicy, Tpm};

use crate::{
    audit::{self, RECOVER, UNLOCK},
    console::note,
    disk_file_system::Detached,
    places::Places,
    recovery::{
        keyslots,
        record::Record,
        settle,
        volume::{Volume, find_partition},
    },
    secret_file::SecretFile,
    var::{
        device::{boot_policy, new_marker},
        ext4,
        luks::Header,
        mapping::{self, Mapping},
        marker::{self, Marker},
    },
};

/// A volume that a recovery key opens: the TPM remembers both.
pub struct Lock<'a> {
    places: &'a Places,
    tpm: Tpm,
    policy: BootPolicy,
    partition: PathBuf,
    record: Record,
}

/// What was done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// The volume is open.
    Unlocked,
    /// It is sealed to the present boot, and to no former one.
    SealedAgain,
    /// A new recovery key was made.
    NewKey,
    /// The audit record is on the disk.
    Audited,
}

impl Done {
    /// The line on the consoles.
    pub const fn line(self) -> &'static str {
        match self {
            Self::Unlocked => "recovery 1/4 unlocked",
            Self::SealedAgain => "recovery 2/4 sealed again to this TPM and boot",
            Self::NewKey => {
                "recovery 3/4 new recovery key made; the old one ends when the cloud has the new one"
            }
            Self::Audited => "recovery 4/4 audit record written",
        }
    }
}

impl<'a> Lock<'a> {
    /// Looks whether there is anything that a key could open. Says why not.
    pub fn find(places: &'a Places) -> Result<Self, String> {
        let tpm = Tpm::open(&places.tpm).map_err(|error| error.to_string())?;
        let record = Record::read(&tpm).map_err(|error| error.to_string())?;
        let record = record.ok_or("this TPM remembers no recovery key")?;
        let policy = boot_policy(places).map_err(|refusal| refusal.to_string())??;
        let lock = Self { places, tpm, policy, partition: find_partition(places)?, record };
        lock.header()?;
        Ok(lock)
    }

    /// The header, if it is that of the device's own volume.
    fn header(&self) -> Result<Header, String> {
        let header = Header::read(&self.partition)?;
        if is_own(&self.record, &header) {
            Ok(header)
        } else {
            Err("the state volume on the boot disk is not the one that this device made: no key \
                 is taken for it; put back this device's disk"
                .to_owned())
        }
    }

    /// Whether it is one of the volume's keys. Nothing is tried for it.
    pub fn accepts(&self, key: &RecoveryKey) -> bool {
        self.record.accepts(key)
    }

    /// Opens the volume and does what must follow; `done` hears of each step.
    pub fn recover(
        &self,
        key: &RecoveryKey,
        wrong_keys: u32,
        done: &mut dyn FnMut(Done),
    ) -> Result<(), String> {
        // Looked at again: somebody may have changed the disk while the prompt waited.
        let header = self.header()?;
        mapping::close(self.places)?;
        let secret = SecretFile::new(key.as_str())?;
        let mapping = mapping::open_with_key(self.places, &self.partition, &secret.path())?;
        drop(secret);
        let outcome = self.go_on(&mapping, &header, (key, wrong_keys), done);
        if let Err(error) = mapping::close(self.places) {
            note(format_args!("the state volume was not closed: {error}"));
        }
        outcome
    }

    fn go_on(
        &self,
        mapping: &Mapping,
        header: &Header,
        (key, wrong_keys): (&RecoveryKey, u32),
        done: &mut dyn FnMut(Done),
    ) -> Result<(), String> {
        let files = ext4::open(&mapping.device)?;
        check_marker(&files, &header.uuid, &mapping.luks_uuid)?;
        done(Done::Unlocked);

        let mut volume = Volume::open(self.places, &self.tpm, &self.partition, &files)?;
        let wrong_keys = wrong_keys.to_string();
        let arguments: [&[u8]; 1] = [wrong_keys.as_bytes()];
        volume.mark_used(key, audit::record(UNLOCK, &header.uuid, &arguments)?)?;

        // Before the seal: a power cut between the two leaves both markers, and one of them holds.
        let marker = new_marker(&self.tpm, &self.policy, &header.uuid)
            .map_err(|refusal| refusal.to_string())?;
        let unwritten = |error: std::io::Error| format!("cannot write the marker: {error}");
        files.write(marker::NEXT, marker.to_toml().as_bytes()).map_err(unwritten)?;
        keyslots::seal_again(self.places, &self.partition, key)?;
        files.rename(marker::NEXT, marker::NAME).map_err(unwritten)?;
        done(Done::SealedAgain);

        settle(&mut volume)?;
        if volume.state().keys.last().is_none_or(|newest| newest.used) {
            return Err("no new recovery key could be made yet".to_owned());
        }
        done(Done::NewKey);

        let record = audit::record(RECOVER, &header.uuid, &arguments)?;
        volume.change(|state| state.records.push(record))?;
        done(Done::Audited);
        Ok(())
    }
}

/// Whether a header is of the volume that the TPM remembers.
fn is_own(record: &Record, header: &Header) -> bool {
    record.volume == header.identity()
}

/// The marker cannot be proved here: the key that made it belongs to another boot. That the volume
/// key is the device's own was proved by the TPM's record; this only tells a volume in the making.
fn check_marker(files: &Detached, header: &str, open: &str) -> Result<(), String> {
    let read = files.read(marker::NAME, marker::LIMIT);
    let bytes = read.map_err(|error| format!("{}: {error}", marker::NAME))?;
    let marker = Marker::parse(&bytes.ok_or("the state volume has no marker")?)?;
    if marker.luks_uuid == header && header == open {
        Ok(())
    } else {
        Err("the state volume's marker was made for another volume".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const UUID: &str = "6b1e2a34-1f7c-4f2a-9a55-0d7c3a2b1c0d";

    #[test]
    fn the_steps_are_told_in_their_order() {
        let lines = [Done::Unlocked, Done::SealedAgain, Done::NewKey, Done::Audited];
        for (number, done) in (1..).zip(lines) {
            assert!(done.line().starts_with(&format!("recovery {number}/4 ")), "{done:?}");
        }
    }

    #[test]
    fn a_volume_in_the_making_or_of_another_uuid_is_not_recovered() {
        let folder = tempfile::tempdir().unwrap();
        let files = Detached::from_folder(folder.path()).unwrap();
        let check = |open: &str| check_marker(&files, UUID, open);
        assert!(check(UUID).unwrap_err().contains("no marker"));
        let marker = Marker { luks_uuid: UUID.into(), random: [1; 32], hmac: [2; 32] };
        fs::write(folder.path().join(marker::NAME), marker.to_toml()).unwrap();
        assert_eq!(check(UUID), Ok(()));
        assert!(check("other").unwrap_err().contains("another volume"));
        fs::write(folder.path().join(marker::NAME), "x").unwrap();
        assert!(check(UUID).unwrap_err().contains("not understood"));
    }
}
