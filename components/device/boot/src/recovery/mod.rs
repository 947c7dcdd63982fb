//! The recovery key of the state volume: a second way to open it, in the operator's hands.
//!
//! The key is made here, once the site says to whom it is wrapped; the enroller hands the wrapped
//! key to the cloud and tells here when the cloud has it.

pub mod decide;
mod edge_id;
pub mod keyslots;
#[cfg(test)]
mod model;
pub mod record;
pub mod state;
pub mod volume;

use std::{process::ExitCode, time::Duration};

use holdfast_recovery::Recipient;
use holdfast_site::Site;
use holdfast_tpm::Tpm;

use crate::{
    audit,
    console::{milestone, note},
    disk_file_system::Detached,
    files::{self, read_limited},
    places::Places,
};
use decide::{Observation, Step, next};
use volume::Volume;

/// What the enroller hands over to the cloud.
const HAND_OVER: &str = "run/holdfast/recovery/keys.json";
/// Where the enroller says what the cloud has: SHA-256 of what was handed over.
const ACKNOWLEDGED: &str = "var/lib/holdfast/enroller/recovery-acknowledged";
const SITE: &str = "run/holdfast/site/site.toml";
/// The longest way: stray slot, gone slots, acknowledgement, wipe, forget, record, key, record.
const MOST_STEPS: usize = 16;

/// What is decided about and acted on.
pub trait World {
    /// Looks.
    fn observe(&mut self) -> Result<Observation, String>;
    /// Takes a step.
    fn perform(&mut self, step: Step) -> Result<(), String>;
}

/// Takes steps until all is as it should be.
pub fn settle(world: &mut impl World) -> Result<(), String> {
    for _ in 0..MOST_STEPS {
        let Some(step) = next(&world.observe()?) else { return Ok(()) };
        note(format_args!("recovery: {step:?}"));
        world.perform(step)?;
    }
    Err("the recovery keys do not settle; see the journal".to_owned())
}

/// The verb.
pub fn run(places: &Places) -> ExitCode {
    match keep(places) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            milestone(format_args!("recovery key not in order: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn keep(places: &Places) -> Result<(), String> {
    let partition = volume::find_partition(places)?;
    let files = Detached::from_folder(&places.at("var"));
    let files = files.map_err(|error| format!("cannot open /var: {error}"))?;
    let tpm = Tpm::open(&places.tpm).map_err(|error| error.to_string())?;
    let mut volume = Volume::open(places, &tpm, &partition, &files)?;
    flush_records(places, &mut volume)?;
    match operator(places)? {
        Some((operator, edge_id)) => volume.wrap_to(operator, edge_id),
        None => note("no accepted site names a recovery public key"),
    }
    volume.acknowledge(acknowledged(places));
    let settled = settle(&mut volume);
    flush_records(places, &mut volume)?;
    settled?;
    hand_over(places, &volume)
}

/// The operator's public key and the device's name, if the site that was accepted names a key.
fn operator(places: &Places) -> Result<Option<(Recipient, String)>, String> {
    let path = places.at(SITE);
    if !path.exists() {
        return Ok(None);
    }
    let text = files::read_text(&path).map_err(|error| error.to_string())?;
    let site = Site::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    let Some(key) = &site.recovery_key else { return Ok(None) };
    let recipient = Recipient::from_spki(key.der())
        .map_err(|error| format!("site.toml: recovery.public_key: {error}"))?;
    Ok(Some((recipient, edge_id::read(places, &site.edge_id_source))))
}

/// What the cloud has, as far as the enroller says so. Its folder is not trusted to hold a file.
fn acknowledged(places: &Places) -> Option<[u8; 32]> {
    let (folder, name) = ACKNOWLEDGED.rsplit_once('/')?;
    let folder = Detached::from_folder(&places.at(folder)).ok()?;
    let content = folder.read(name, 128).ok()??;
    let mut digest = [0; 32];
    hex::decode_to_slice(content.trim_ascii(), &mut digest).ok()?;
    Some(digest)
}

fn hand_over(places: &Places, volume: &Volume) -> Result<(), String> {
    let Some(set) = volume.state().key_set()? else { return Ok(()) };
    let path = places.at(HAND_OVER);
    let held = std::fs::File::open(&path).ok().and_then(|mut f| read_limited(&mut f, 1 << 20).ok());
    if held.as_ref() == Some(&set) {
        return Ok(());
    }
    files::publish(&path, &set).map_err(|error| error.to_string())
}

/// Passes records on to the journal; each is forgotten only when the journal has it.
fn flush_records(places: &Places, volume: &mut Volume) -> Result<(), String> {
    while let Some(record) = volume.state().records.first().cloned() {
        audit::to_journal(places, &record, Duration::from_secs(5))?;
        volume.change(|state| {
            state.records.remove(0);
        })?;
    }
    Ok(())
}
