//! A log of a device, and what is known of a batch of it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use holdfast_audit_log::checkpoint::BootBinding;
use holdfast_audit_log::frame::{Class, Frame, Kind};
use holdfast_audit_log::tree::Frontier;
use holdfast_audit_log::{Hash, Origin, Receipt};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::content::{Users, users_of};
use crate::usb::UsbChanges;

/// Name of a log: 16 random bytes of its device as 32 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogId(String);

/// A text does not name a log.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not the id of a log: expected 32 lower-case hexadecimal digits")]
pub struct LogIdError(String);

impl LogId {
    const DIGITS: usize = 32;

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the log calls itself in its first record and its checkpoints.
    pub fn origin(&self) -> Origin {
        // The name has the form of an origin whatever the digits are; a test holds it to that.
        Origin::new(format!("holdfast/audit/{}", self.0))
            .unwrap_or_else(|error| unreachable!("{error}"))
    }
}

impl FromStr for LogId {
    type Err = LogIdError;
    fn from_str(text: &str) -> Result<Self, LogIdError> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == Self::DIGITS && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(LogIdError(text.chars().take(40).collect()))
        }
    }
}

impl TryFrom<String> for LogId {
    type Error = LogIdError;
    fn try_from(text: String) -> Result<Self, LogIdError> {
        text.parse()
    }
}

impl From<LogId> for String {
    fn from(id: LogId) -> Self {
        id.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a log still grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogState {
    /// The device's present log.
    Open,
    /// The device has another one since.
    Closed,
    /// The device sent another history than the one that is stored.
    Forked,
}

impl LogState {
    /// The name on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Forked => "forked",
        }
    }
}

/// A text is no state of a log.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no state of a log")]
pub struct LogStateError(String);

impl FromStr for LogState {
    type Err = LogStateError;
    fn from_str(text: &str) -> Result<Self, LogStateError> {
        [Self::Open, Self::Closed, Self::Forked]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| LogStateError(text.to_owned()))
    }
}

/// Up to where a log is stored, and all that is needed to judge what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Hash of the last record; that of the log's genesis where there is none.
    pub head: Hash,
    /// The tree over the records.
    pub frontier: Frontier,
    /// The last start of the device that a checkpoint is bound to.
    pub boot: Option<BootBinding>,
    /// Size that the last checkpoint signed.
    pub checkpoint: Option<u64>,
}

impl Position {
    /// Before the first record.
    pub fn start(origin: &Origin) -> Self {
        Self { head: origin.genesis(), frontier: Frontier::default(), boot: None, checkpoint: None }
    }

    /// Number of records.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// What is stated of a log at this position.
    pub fn receipt(&self, log: &LogId, device_id: Uuid, now: OffsetDateTime) -> Receipt {
        Receipt {
            log: log.to_string(),
            device_id: device_id.to_string(),
            size: self.size(),
            head: self.head.to_string(),
            root: self.frontier.root().to_string(),
            // No clock of a server is before 1970.
            time: now.unix_timestamp().try_into().unwrap_or(0),
        }
    }
}

/// What a batch is about, so that a search need not read those that cannot have what it looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchContent {
    /// Earliest record, nanoseconds since 1970.
    pub earliest_ns: u64,
    /// Latest record, nanoseconds since 1970.
    pub latest_ns: u64,
    /// One bit per class, by its place in [`Class::ALL`].
    pub classes: u32,
    /// One bit per kind, by its place in [`Kind::ALL`].
    pub kinds: u32,
    /// Users and login users; none: more than are kept, or some cannot be told.
    pub users: Option<BTreeSet<u32>>,
    /// What they change of what is known to be plugged in.
    pub usb: UsbChanges,
}

impl BatchContent {
    /// Users that are kept per batch.
    pub const USERS: usize = 64;

    /// The bit of a class.
    pub fn class_bit(class: Class) -> u32 {
        bit(&Class::ALL, &class)
    }

    /// The bit of a kind.
    pub fn kind_bit(kind: Kind) -> u32 {
        bit(&Kind::ALL, &kind)
    }

    pub(super) fn none() -> Self {
        Self {
            earliest_ns: u64::MAX,
            latest_ns: 0,
            classes: 0,
            kinds: 0,
            users: Some(BTreeSet::new()),
            usb: UsbChanges::default(),
        }
    }

    pub(super) fn add(&mut self, frame: &Frame<'_>) {
        self.earliest_ns = self.earliest_ns.min(frame.time.realtime_ns);
        self.latest_ns = self.latest_ns.max(frame.time.realtime_ns);
        self.classes |= Self::class_bit(frame.class);
        self.kinds |= Self::kind_bit(frame.kind);
        self.usb.add(frame);
        let Some(users) = &mut self.users else { return };
        match users_of(frame) {
            Users::Known(found) => users.extend(found),
            Users::Unknown => self.users = None,
        }
        if self.users.as_ref().is_some_and(|users| users.len() > Self::USERS) {
            self.users = None;
        }
    }
}

fn bit<T: PartialEq>(all: &[T], one: &T) -> u32 {
    all.iter().position(|known| known == one).map_or(0, |place| 1 << place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_of_an_id() {
        let id: LogId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        assert_eq!(id.origin().as_str(), "holdfast/audit/0123456789abcdef0123456789abcdef");
        let long = "0".repeat(33);
        for bad in [
            "",
            "0123",
            "0123456789ABCDEF0123456789abcdef",
            "../../../../../../../etc/passwd1",
            &long,
        ] {
            assert!(bad.parse::<LogId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_class_and_kind_has_a_bit_of_its_own() {
        let classes =
            Class::ALL.iter().fold(0, |bits, class| bits | BatchContent::class_bit(*class));
        assert_eq!(classes.count_ones() as usize, Class::ALL.len());
        let kinds = Kind::ALL.iter().fold(0, |bits, kind| bits | BatchContent::kind_bit(*kind));
        assert_eq!(kinds.count_ones() as usize, Kind::ALL.len());
    }
}
