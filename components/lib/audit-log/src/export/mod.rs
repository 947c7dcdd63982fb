//! The log as text that the tools of the Linux audit system read: `ausearch`, `aureport`, auparse.
//!
//! ```text
//! type=EXECVE msg=audit(1364481363.243:24287): argc=2 a0="ls" a1="/"
//! type=USER msg=audit(1364481363.250:2147483665): pid=42 uid=1000 auid=1000
//!     ses=4294967295 msg='op=identity.sign seq=17 ... res=success'           (one line)
//! ```
//!
//! A message of the kernel is a line, byte by byte as it came. What the log has beside the kernel's
//! events becomes messages of user space, one line for each record; their type is the one that
//! comes closest among those of libaudit, and `USER` where none does. Their serial number is 2^31 plus the record's sequence
//! number: the kernel counts from 1 at each start, so that no two events fall together.
//!
//! Whatever a record holds, it stays one line and one record:
//! - Text that others chose is in hexadecimal as soon as it holds a space, a quote, an equals sign
//!   or anything that is not printable ASCII. (The equals sign is in, because ausearch finds a field
//!   by searching for its name in the whole line.)
//! - In messages of the kernel, control characters become `?`. One that separates lines would begin
//!   a forged record, and byte 0x1D would begin the names of users that ausearch believes.
//! - No line is longer than the buffer of ausearch, which takes the rest of a longer one for another
//!   record.
//!
//! [`Tally`] says how many lines were changed so.

mod line;
mod notice;
mod operation;
mod selection;

use std::fmt;

pub use line::MAX_LINE;
pub use selection::Selection;

use serde::Serialize;

use crate::checkpoint::SignedCheckpoint;
use crate::frame::{Frame, Kind};
use crate::kernel::{EventId, KernelEvent, Message, MessageType};
use crate::{AuditRecord, Boot, ClockStep, Loss, Origin, Recovered};
use line::{Line, UserMessage};

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Records.
    pub records: u64,
    /// Lines.
    pub lines: u64,
    /// Lines in which control characters were replaced.
    pub replaced: u64,
    /// Lines that were cut.
    pub cut: u64,
    /// Records whose payload is not what its kind says. They are there as a line that says so.
    pub unreadable: u64,
}

/// Name of the device that stands before each line, as auditd writes it where the logs of several
/// machines come together: 1 to 255 printable ASCII characters without space and `=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node(String);

/// A text does not name a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not the name of a node: expected 1 to 255 printable ASCII characters without '='"
)]
pub struct NotANode(String);

impl Node {
    /// Longest name, bytes.
    pub const MAX: usize = 255;

    /// Checks the form of the name.
    pub fn new(name: impl Into<String>) -> Result<Self, NotANode> {
        let name = name.into();
        let is_good = |byte: u8| byte.is_ascii_graphic() && byte != b'=';
        if (1..=Self::MAX).contains(&name.len()) && name.bytes().all(is_good) {
            Ok(Self(name))
        } else {
            Err(NotANode(name.chars().take(64).flat_map(char::escape_debug).collect()))
        }
    }

    /// The last part of a log's name, which is the device's.
    pub fn of_origin(origin: &Origin) -> Result<Self, NotANode> {
        let name = origin.as_str();
        Self::new(name.rsplit_once('/').map_or(name, |(_, last)| last))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Writes records, in the order of the log, as lines of text.
///
/// ```
/// use holdfast_audit_log::export::{Exporter, Selection};
/// use holdfast_audit_log::frame::{Class, Frame, Kind, Timestamp};
/// use holdfast_audit_log::{Hash, Loss, LossCause};
///
/// let loss = Loss::new(LossCause::KernelLost, 3).to_json()?;
/// let frame = Frame {
///     sequence: 17,
///     class: Class::Log,
///     kind: Kind::Loss,
///     time: Timestamp { realtime_ns: 1_364_481_363_250_000_000, ..Timestamp::default() },
///     previous: Hash::new([0; 32]),
///     payload: loss.as_bytes(),
/// };
/// let (mut exporter, mut text) = (Exporter::new(Selection::default(), None), Vec::new());
/// assert!(exporter.record(&frame, &mut text));
/// assert_eq!(
///     String::from_utf8(text)?,
///     "type=USER msg=audit(1364481363.250:2147483665): pid=0 uid=4294967295 \
///      auid=4294967295 ses=4294967295 msg='op=records-lost seq=17 class=log cause=kernel-lost \
///      count=3 hostname=? addr=? terminal=? res=failed'\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Exporter {
    selection: Selection,
    node: Option<Node>,
    tally: Tally,
}

impl Exporter {
    /// An exporter of what is selected, under the name of a device or without one.
    pub fn new(selection: Selection, node: Option<Node>) -> Self {
        Self { selection, node, tally: Tally::default() }
    }

    /// What was written so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Appends the lines of a record to `out`; false, and nothing, where it is not selected. That
    /// the record is genuine is for the caller to verify.
    pub fn record(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> bool {
        if !self.selection.includes(frame) {
            return false;
        }
        self.tally.records += 1;
        match frame.kind {
            Kind::KernelEvent => match KernelEvent::parse(frame.payload) {
                Ok(event) => self.event(frame, &event, out),
                Err(_) => self.unreadable(frame, out),
            },
            _ => match Self::message(frame) {
                Some(message) => self.own(frame, &message, out),
                None => self.unreadable(frame, out),
            },
        }
        true
    }

    fn event(&mut self, frame: &Frame<'_>, event: &KernelEvent<'_>, out: &mut Vec<u8>) {
        if event.marks.is_unparsed || event.messages().next().is_none() {
            return self.unparsed(frame, event, out);
        }
        for Message { kind, text } in event.messages() {
            let mut line = Line::begin(out, self.node.as_ref(), kind, event.id);
            self.tally.replaced += u64::from(line.foreign(text));
            self.tally.cut += u64::from(line.end());
            self.tally.lines += 1;
        }
        if event.cut > 0 {
            let mut message = UserMessage::new(MessageType::USER, "messages-cut", frame);
            message.text("event", &event.id.to_string());
            message.word("count", event.cut);
            self.own(frame, &message.failed(), out);
        }
    }

    /// Messages without a time stamp: what came is a field of a message of ours.
    fn unparsed(&mut self, frame: &Frame<'_>, event: &KernelEvent<'_>, out: &mut Vec<u8>) {
        let mut message = UserMessage::new(MessageType::USER, "message-unparsed", frame);
        if let Some(Message { kind, text }) = event.messages().next() {
            message.word("type", kind);
            message.bytes("text", text);
        }
        self.own(frame, &message.failed(), out);
    }

    /// `None` where the payload is not what its kind says.
    fn message(frame: &Frame<'_>) -> Option<UserMessage> {
        let payload = frame.payload;
        Some(match frame.kind {
            Kind::KernelEvent => return None,
            Kind::Operation => {
                let record = AuditRecord::from_json(str::from_utf8(payload).ok()?).ok()?;
                operation::message(frame, &record)
            }
            Kind::Loss => notice::loss(frame, &Loss::from_json(payload).ok()?),
            Kind::Recovered => notice::recovered(frame, &Recovered::from_json(payload).ok()?),
            Kind::Checkpoint => notice::checkpoint(frame, &SignedCheckpoint::parse(payload).ok()?),
            Kind::Boot => notice::boot(frame, &Boot::from_json(payload).ok()?),
            Kind::Clock => notice::clock(frame, &ClockStep::from_json(payload).ok()?),
        })
    }

    fn unreadable(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) {
        self.tally.unreadable += 1;
        let mut message = UserMessage::new(MessageType::USER, "payload-unreadable", frame);
        message.word("kind", frame.kind.as_byte());
        message.bytes("payload", frame.payload);
        self.own(frame, &message.failed(), out);
    }

    fn own(&mut self, frame: &Frame<'_>, message: &UserMessage, out: &mut Vec<u8>) {
        let mut line = Line::begin(out, self.node.as_ref(), message.kind, own_id(frame));
        line.ours(message);
        self.tally.cut += u64::from(line.end());
        self.tally.lines += 1;
    }
}

/// Above the serial numbers that the kernel reaches, so that a record of ours is never taken for a
/// part of an event.
const OWN_SERIALS: u32 = 1 << 31;

fn own_id(frame: &Frame<'_>) -> EventId {
    let milliseconds = frame.time.realtime_ns / 1_000_000;
    EventId {
        seconds: milliseconds / 1000,
        milliseconds: u16::try_from(milliseconds % 1000).unwrap_or(0),
        serial: OWN_SERIALS | u32::try_from(frame.sequence % u64::from(OWN_SERIALS)).unwrap_or(0),
    }
}
