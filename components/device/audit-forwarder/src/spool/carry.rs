//! Going on with another log: what the cloud has not got goes over into it.
//!
//! ```text
//! carry.json                    the other log is being made; done again when the spool is opened
//! 00000000000000000512.carried  a segment of the old log, until its records are in the other
//! previous.json                 which log this one follows
//! ```
//!
//! The marker is there before anything is renamed, and becomes `previous.json` when every record is
//! durable in the other log. A power cut in between costs work, and no record.

use std::collections::VecDeque;

use holdfast_audit_log::frame::{Class, Decoded, Kind};
use holdfast_audit_log::segment::SegmentReader;
use holdfast_audit_log::{Appender, Entry, Origin, Recovered, Text};
use serde::{Deserialize, Serialize};

use super::{Disk, Limits, Spool, SpoolError, begin};

const MARKER: &str = "carry.json";
const PREVIOUS: &str = "previous.json";
const CARRIED: &str = ".carried";
/// Bytes that are made durable at once.
const AT_ONCE: usize = 256 * 1024;

/// The log that another one follows, as the cloud is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousLog {
    /// Its id, 32 hexadecimal digits.
    pub log: String,
    /// Records that the cloud has of it.
    pub size: u64,
    /// Hash of the last of them, hexadecimal.
    pub head: String,
}

/// A record that the cloud does not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Its sequence number in the old log.
    pub sequence: u64,
    /// What the cloud said.
    pub reason: Text<256>,
}

/// What goes over into another log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carry {
    /// Sequence number of the first record that the cloud has not got.
    pub from: u64,
    /// A record that does not go over. It stays in a file of its own.
    pub refused: Option<Refusal>,
    /// What the cloud is told of the old log, where the cloud knows that one.
    pub previous: Option<PreviousLog>,
}

/// [`MARKER`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    origin: String,
    from: u64,
    refused: Option<Refusal>,
    previous: Option<PreviousLog>,
}

/// Which log this one follows, where it follows one.
pub(super) fn previous(disk: &mut impl Disk) -> Result<Option<PreviousLog>, SpoolError> {
    if !disk.list()?.iter().any(|name| name == PREVIOUS) {
        return Ok(None);
    }
    let marker: Option<Marker> = serde_json::from_slice(&disk.read(PREVIOUS)?).ok();
    Ok(marker.and_then(|marker| marker.previous))
}

/// Notes what is to be done. From here on it is done, now or after the next start.
pub(super) fn mark(disk: &mut impl Disk, origin: &Origin, carry: &Carry) -> Result<(), SpoolError> {
    let Carry { from, refused, previous } = carry.clone();
    let marker = Marker { origin: origin.as_str().to_owned(), from, refused, previous };
    let json = serde_json::to_vec(&marker).map_err(|error| SpoolError::Io {
        act: "write",
        path: MARKER.to_owned(),
        source: error.into(),
    })?;
    disk.create(MARKER, &json)
}

/// What a folder was found to be.
#[derive(Debug)]
pub(super) enum Found<D> {
    /// A marker was there, and what it says is done.
    CarriedOver(Box<Spool<D>>),
    /// Nothing was to be done.
    AsItWas(D),
}

/// Does what a marker says, from its beginning.
pub(super) fn carry_over<D: Disk>(mut disk: D, limits: Limits) -> Result<Found<D>, SpoolError> {
    let names = disk.list()?;
    if !names.iter().any(|name| name == MARKER) {
        for name in names.iter().filter(|name| name.ends_with(CARRIED)) {
            disk.remove(name)?;
        }
        return Ok(Found::AsItWas(disk));
    }
    let marker: Option<Marker> = serde_json::from_slice(&disk.read(MARKER)?).ok();
    let marker =
        marker.and_then(|marker| Some((Origin::new(marker.origin.as_str()).ok()?, marker)));
    let Some((origin, marker)) = marker else {
        // Made whole by a rename, so this is no power cut. It stays for people to see, and so does
        // what it was about.
        disk.rename(MARKER, "carry.json.damaged")?;
        for name in names.iter().filter(|name| name.ends_with(CARRIED)) {
            disk.rename(name, &name.replace(CARRIED, super::DAMAGED))?;
        }
        return Ok(Found::AsItWas(disk));
    };
    for name in names {
        let Some(stem) = name.strip_suffix(super::SUFFIX) else { continue };
        let header = SegmentReader::new(&disk.read(&name)?).map(|(header, _)| header);
        if header.is_ok_and(|header| header.origin == origin) {
            // What an earlier attempt came to.
            disk.remove(&name)?;
        } else {
            disk.rename(&name, &format!("{stem}{CARRIED}"))?;
        }
    }
    let log = Appender::new(origin);
    let first = begin(&mut disk, &log.segment_header())?;
    let mut spool = Spool::with(disk, limits, VecDeque::from([first]), log);
    let mut old: Vec<String> = spool.disk.list()?;
    old.retain(|name| name.ends_with(CARRIED));
    // Of one length each, so that their order is that of the numbers.
    old.sort_unstable();
    for name in &old {
        let bytes = spool.disk.read(name)?;
        spool.take_over(name, &bytes, &marker)?;
    }
    spool.commit()?;
    spool.previous = marker.previous;
    spool.disk.rename(MARKER, PREVIOUS)?;
    for name in &old {
        spool.disk.remove(name)?;
    }
    Ok(Found::CarriedOver(Box::new(spool)))
}

impl<D: Disk> Spool<D> {
    fn take_over(&mut self, name: &str, bytes: &[u8], marker: &Marker) -> Result<(), SpoolError> {
        let Ok((_, frames)) = SegmentReader::new(bytes) else {
            return self.take_over_notice(name, bytes.len(), "its header cannot be read");
        };
        for frame in frames {
            let decoded = match frame {
                Ok((decoded, _)) => decoded,
                Err(fault) => {
                    let rest = bytes.len() - fault.offset;
                    return self.take_over_notice(name, rest, &fault.to_string());
                }
            };
            let frame = decoded.frame;
            // A checkpoint is of its own log only.
            if frame.sequence < marker.from || frame.kind == Kind::Checkpoint {
                continue;
            }
            match &marker.refused {
                Some(refused) if refused.sequence == frame.sequence => {
                    self.put_aside(&decoded, refused)?;
                }
                _ => self.take_over_entry(Entry {
                    class: frame.class,
                    kind: frame.kind,
                    time: frame.time,
                    payload: frame.payload,
                })?,
            }
        }
        Ok(())
    }

    fn put_aside(&mut self, decoded: &Decoded<'_>, refused: &Refusal) -> Result<(), SpoolError> {
        let Refusal { sequence, reason } = refused;
        self.disk.create(&format!("{sequence:020}.refused"), decoded.leaf_data)?;
        let what = format!("record {sequence}");
        self.take_over_notice(&what, decoded.encoded_len(), &format!("refused: {reason}"))
    }

    fn take_over_notice(&mut self, what: &str, bytes: usize, why: &str) -> Result<(), SpoolError> {
        let fault = Text::lossy(&format!("{what} of the log before this: {why}"));
        let Ok(json) = (Recovered { bytes: bytes as u64, fault }).to_json() else { return Ok(()) };
        let time = crate::now::now();
        let (class, kind, payload) = (Class::Log, Kind::Recovered, json.as_bytes());
        self.take_over_entry(Entry { class, kind, time, payload })
    }

    /// There is room: the records were in the log before.
    fn take_over_entry(&mut self, entry: Entry<'_>) -> Result<(), SpoolError> {
        // What was read from a frame fits into one.
        if self.log.append(entry, &mut self.pending).is_ok() {
            self.pending_records += 1;
        }
        if self.pending.len() >= AT_ONCE { self.commit() } else { Ok(()) }
    }
}
