//! Finding records: the index names batches that may have them, and those are read.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use holdfast_attestation::hash::sha256;
use holdfast_audit_log::Hash;
use holdfast_audit_log::frame::{Class, Frame, Kind};
use holdfast_audit_log::segment::SegmentReader;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::content::{Summary, Users, summary_of, users_of};
use super::ingest::{DeviceAudit, DeviceAuditError};
use super::log::{BatchContent, LogId};
use super::objects::Objects;
use super::stored::{BatchPage, BatchQuery, StoredBatch};
use crate::store::Store;

/// Batches that one request reads, at most.
const BATCHES: u32 = 16;
/// Bytes of them; the one that goes beyond is the last.
const BYTES: u64 = 16 << 20;

/// What to look for; what is left out does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Of this device.
    pub device_id: Option<Uuid>,
    /// By this user, or by one who logged in as this user.
    pub user: Option<u32>,
    /// Of this class.
    pub class: Option<Class>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// At this time or later.
    pub from: Option<OffsetDateTime>,
    /// At this time or earlier.
    pub to: Option<OffsetDateTime>,
    /// With this text in the name of the action.
    pub action: Option<String>,
}

/// Where a search goes on: `<batch>` or `<batch>.<record>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    /// With this batch.
    batch: i64,
    /// With the records of it before this one.
    before: Option<u64>,
}

/// A text is no cursor.
#[derive(Debug, thiserror::Error)]
#[error("the cursor is not one that a search gave")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (batch, before) = match text.split_once('.') {
            Some((batch, before)) => (batch, Some(before.parse().map_err(|_| CursorError)?)),
            None => (text, None),
        };
        let batch = batch.parse().ok().filter(|batch| *batch >= 0).ok_or(CursorError)?;
        Ok(Self { batch, before })
    }
}

impl TryFrom<String> for Cursor {
    type Error = CursorError;
    fn try_from(text: String) -> Result<Self, CursorError> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.batch)?;
        self.before.map_or(Ok(()), |before| write!(f, ".{before}"))
    }
}

/// A record that was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FoundRecord {
    /// Its device.
    pub device_id: Uuid,
    /// Its log.
    pub log: LogId,
    /// Its number there.
    pub sequence: u64,
    /// Its hash.
    pub hash: String,
    /// When it was made, by the device's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// Whether that clock was set from a source of time.
    pub synchronised: bool,
    /// What it is about.
    pub class: String,
    /// What its payload is.
    pub kind: String,
    /// Users and login users; none: the payload does not tell.
    pub users: Option<Vec<u32>>,
    /// What was done.
    pub action: String,
    /// One line for people.
    pub summary: String,
    /// The payload: JSON, text, or the kernel's messages, one line each.
    pub payload: Value,
}

/// Records that were found, those that came last first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SearchPage {
    /// The records; there may be more even if these are few.
    pub items: Vec<FoundRecord>,
    /// Where to go on; none: that was all.
    pub next: Option<Cursor>,
    /// Files that are not what was stored, and were not searched.
    pub damaged: Vec<String>,
}

impl Search {
    /// Whether a record is looked for.
    pub fn fits(&self, frame: &Frame<'_>) -> bool {
        let is_at =
            |at: OffsetDateTime| i128::from(frame.time.realtime_ns) - at.unix_timestamp_nanos();
        self.class.is_none_or(|class| class == frame.class)
            && self.kind.is_none_or(|kind| kind == frame.kind)
            && self.from.is_none_or(|from| is_at(from) >= 0)
            && self.to.is_none_or(|to| is_at(to) <= 0)
            && self.user.is_none_or(|user| match users_of(frame) {
                Users::Known(users) => users.contains(&user),
                Users::Unknown => false,
            })
            && self.action.as_ref().is_none_or(|text| summary_of(frame).action.contains(text))
    }

    fn query(&self, cursor: Option<Cursor>) -> BatchQuery {
        let nanoseconds = |at: OffsetDateTime| {
            u64::try_from(at.unix_timestamp_nanos().max(0)).unwrap_or(u64::MAX)
        };
        BatchQuery {
            device_id: self.device_id,
            user: self.user,
            classes: self.class.map(BatchContent::class_bit),
            kinds: self.kind.map(BatchContent::kind_bit),
            from_ns: self.from.map(nanoseconds),
            to_ns: self.to.map(nanoseconds),
            up_to: cursor.map(|cursor| cursor.batch),
            limit: BATCHES,
        }
    }
}

impl DeviceAudit {
    /// Looks for records, with bounded work: a search for what is rare takes several calls.
    pub async fn search(
        &self,
        store: &Arc<dyn Store>,
        search: Search,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<SearchPage, DeviceAuditError> {
        let page = store.search_audit_batches(search.query(cursor)).await?;
        let objects = self.objects().clone();
        let work = move || read(&objects, &search, &page, cursor, limit.max(1));
        Ok(tokio::task::spawn_blocking(work).await?)
    }
}

fn read(
    objects: &Objects,
    search: &Search,
    page: &BatchPage,
    cursor: Option<Cursor>,
    limit: usize,
) -> SearchPage {
    let mut found = SearchPage::default();
    let mut bytes = 0;
    for batch in &page.batches {
        if bytes >= BYTES {
            found.next = Some(Cursor { batch: batch.id, before: None });
            return found;
        }
        bytes += batch.bytes;
        let before = cursor.filter(|cursor| cursor.batch == batch.id);
        let before = before.and_then(|cursor| cursor.before).unwrap_or(u64::MAX);
        let Some(mut records) = read_batch(objects, search, batch, before) else {
            let name = Objects::file_name(batch.first);
            tracing::error!(log = %batch.log, file = name, "a file of an audit log is damaged");
            found.damaged.push(format!("{}/{name}", batch.log));
            continue;
        };
        let room = limit - found.items.len();
        let is_cut = records.len() > room;
        records.truncate(room);
        found.items.extend(records);
        if let Some(last) = found.items.last().filter(|_| is_cut) {
            found.next = Some(Cursor { batch: batch.id, before: Some(last.sequence) });
            return found;
        }
    }
    found.next = page.rest.map(|batch| Cursor { batch, before: None });
    found
}

/// What is looked for in a batch, the last first; none if its file is not the one that was stored.
fn read_batch(
    objects: &Objects,
    search: &Search,
    batch: &StoredBatch,
    before: u64,
) -> Option<Vec<FoundRecord>> {
    let bytes = objects.read(&batch.log, batch.first).ok()?;
    if sha256(&[&bytes]) != batch.sha256.0 {
        return None;
    }
    let (_, records) = SegmentReader::new(&bytes).ok()?;
    let mut found = Vec::new();
    for record in records {
        let (decoded, hash) = record.ok()?;
        let frame = decoded.frame;
        if frame.sequence < before && search.fits(&frame) {
            found.push(shown(batch, &frame, hash));
        }
    }
    found.reverse();
    Some(found)
}

fn shown(batch: &StoredBatch, frame: &Frame<'_>, hash: Hash) -> FoundRecord {
    let Summary { action, text, payload } = summary_of(frame);
    let time = OffsetDateTime::from_unix_timestamp_nanos(frame.time.realtime_ns.into());
    FoundRecord {
        device_id: batch.device_id,
        log: batch.log.clone(),
        sequence: frame.sequence,
        hash: hash.to_string(),
        time: time.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        synchronised: frame.time.is_synchronised,
        class: name_of(&frame.class),
        kind: name_of(&frame.kind),
        users: match users_of(frame) {
            Users::Known(users) => Some(users),
            Users::Unknown => None,
        },
        action,
        summary: text,
        payload,
    }
}

/// The name of a class or kind on the wire.
pub fn name_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_are_printed() {
        for (batch, before, text) in [(7, None, "7"), (7, Some(0), "7.0"), (0, Some(9), "0.9")] {
            let cursor = Cursor { batch, before };
            assert_eq!(cursor.to_string(), text);
            assert_eq!(text.parse::<Cursor>().unwrap(), cursor);
        }
        for bad in ["", ".", "7.", ".7", "-1", "x", "7.x", "7.1.2", "9223372036854775808"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
