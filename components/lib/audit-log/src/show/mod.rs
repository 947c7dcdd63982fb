//! Records for people, one line each, and as JSON for programs.

mod printable;

use std::fmt::Write as _;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

pub use printable::{bytes, quoted};

use crate::checkpoint::SignedCheckpoint;
use crate::frame::{Class, Decoded, Frame, Kind, Timestamp};
use crate::kernel::{EventId, KernelEvent, Marks, Message, MessageType};
use crate::{Actor, AuditRecord, Boot, ClockStep, Decision, Hash, Loss, Outcome, Recovered, Text};

const TIME: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Nanoseconds as people write the time.
fn time_of(time: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(time.realtime_ns.into())
        .ok()
        .and_then(|time| time.format(TIME).ok())
        .unwrap_or_else(|| time.realtime_ns.to_string())
}

/// A record as programs read it.
#[derive(Serialize)]
pub struct Record<'a> {
    sequence: u64,
    class: Class,
    kind: Kind,
    time: String,
    #[serde(flatten)]
    timestamp: Timestamp,
    hash: Hash,
    #[serde(rename = "record")]
    payload: Payload<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Event(Box<Event>),
    Operation(Box<AuditRecord>),
    Loss(Loss),
    Recovered(Recovered),
    Checkpoint { note: &'a str },
    Boot(Boot),
    Clock(ClockStep),
    Unreadable { payload_hex: String },
}

#[derive(Serialize)]
struct Event {
    id: EventId,
    #[serde(flatten)]
    marks: Marks,
    cut: u32,
    messages: Vec<EventMessage>,
}

#[derive(Serialize)]
struct EventMessage {
    r#type: MessageType,
    /// Where it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    text_hex: Option<String>,
}

impl EventMessage {
    fn of(message: Message<'_>) -> Self {
        let text = str::from_utf8(message.text).ok().map(str::to_owned);
        let text_hex = text.is_none().then(|| hex::encode(message.text));
        Self { r#type: message.kind, text, text_hex }
    }
}

impl<'a> Record<'a> {
    /// A record with its hash.
    pub fn of(decoded: &Decoded<'a>, hash: Hash) -> Self {
        let Frame { sequence, class, kind, time, payload, .. } = decoded.frame;
        Self {
            sequence,
            class,
            kind,
            time: time_of(time),
            timestamp: time,
            hash,
            payload: Payload::of(&decoded.frame)
                .unwrap_or_else(|| Payload::Unreadable { payload_hex: hex::encode(payload) }),
        }
    }
}

impl<'a> Payload<'a> {
    fn of(frame: &Frame<'a>) -> Option<Self> {
        let payload = frame.payload;
        Some(match frame.kind {
            Kind::KernelEvent => {
                let event = KernelEvent::parse(payload).ok()?;
                let KernelEvent { id, marks, cut, .. } = event;
                let messages = event.messages().map(EventMessage::of).collect();
                Self::Event(Box::new(Event { id, marks, cut, messages }))
            }
            Kind::Operation => {
                let json = str::from_utf8(payload).ok()?;
                Self::Operation(Box::new(AuditRecord::from_json(json).ok()?))
            }
            Kind::Loss => Self::Loss(Loss::from_json(payload).ok()?),
            Kind::Recovered => Self::Recovered(Recovered::from_json(payload).ok()?),
            Kind::Checkpoint => {
                SignedCheckpoint::parse(payload).ok()?;
                Self::Checkpoint { note: str::from_utf8(payload).ok()? }
            }
            Kind::Boot => Self::Boot(Boot::from_json(payload).ok()?),
            Kind::Clock => Self::Clock(ClockStep::from_json(payload).ok()?),
        })
    }
}

/// A record on one line. A `?` behind the time says that the clock was not set.
pub fn line(frame: &Frame<'_>) -> String {
    let doubt = if frame.time.is_synchronised { ' ' } else { '?' };
    let mut line = format!(
        "{:>8}  {}{doubt} {:<14} ",
        frame.sequence,
        time_of(frame.time),
        frame.class.name()
    );
    // Writing to memory does not fail.
    let _ = match Payload::of(frame) {
        None => write!(line, "{} bytes that cannot be read", frame.payload.len()),
        Some(Payload::Event(_)) => event(&mut line, frame.payload),
        Some(Payload::Operation(record)) => operation(&mut line, &record),
        Some(Payload::Loss(loss)) => self::loss(&mut line, &loss),
        Some(Payload::Recovered(recovered)) => write!(
            line,
            "recovered after {} bytes: {}",
            recovered.bytes,
            quoted(recovered.fault.as_str())
        ),
        Some(Payload::Checkpoint { note }) => checkpoint(&mut line, note),
        Some(Payload::Boot(boot)) => write!(
            line,
            "boot of release {}, kernel {}, firmware {}",
            quoted(boot.release.as_str()),
            quoted(boot.kernel.as_str()),
            quoted(boot.firmware.as_str())
        ),
        Some(Payload::Clock(step)) => {
            let at = |realtime_ns| time_of(Timestamp { realtime_ns, ..Timestamp::default() });
            write!(line, "clock set from {} to {}", at(step.before_ns), at(step.after_ns))
        }
        Some(Payload::Unreadable { .. }) => Ok(()),
    };
    line
}

fn event(line: &mut String, payload: &[u8]) -> std::fmt::Result {
    let Ok(event) = KernelEvent::parse(payload) else { return Ok(()) };
    write!(line, "kernel {}:", event.id.serial)?;
    for (at, message) in event.messages().enumerate() {
        write!(line, "{}{}", if at == 0 { " " } else { "+" }, message.kind)?;
    }
    for (name, id) in [("login", event.login_uid()), ("uid", event.uid()), ("pid", event.pid())] {
        if let Some(id) = id {
            write!(line, " {name} {id}")?;
        }
    }
    if let Some(exe) = event.exe() {
        write!(line, " {}", bytes(&exe))?;
    }
    for key in event.keys() {
        write!(line, " [{}]", bytes(&key))?;
    }
    let arguments = event.arguments();
    if !arguments.is_empty() {
        let shown: Vec<String> =
            arguments.iter().map(|argument| format!("\"{}\"", bytes(argument))).collect();
        write!(line, ": {}", shown.join(" "))?;
    }
    let Marks { is_late, is_unended, is_unparsed } = event.marks;
    for (is_set, name) in
        [(is_late, "late"), (is_unended, "without an end"), (is_unparsed, "not readable")]
    {
        if is_set {
            write!(line, " ({name})")?;
        }
    }
    if event.cut > 0 {
        write!(line, " ({} messages did not fit)", event.cut)?;
    }
    Ok(())
}

fn operation(line: &mut String, record: &AuditRecord) -> std::fmt::Result {
    write!(line, "{}", record.action())?;
    if !record.target().is_empty() {
        write!(line, " \"{}\"", quoted(record.target()))?;
    }
    let Actor { uid, login_uid, pid, process, unit, name, .. } = record.actor();
    line.push_str(" by");
    let before = line.len();
    for (what, id) in [("uid", uid), ("login", login_uid), ("pid", pid)] {
        if let Some(id) = id {
            write!(line, " {what} {id}")?;
        }
    }
    let texts = [
        name.as_ref().map(Text::as_str),
        process.as_ref().map(Text::as_str),
        unit.as_ref().map(Text::as_str),
    ];
    for text in texts.into_iter().flatten() {
        write!(line, " {}", quoted(text))?;
    }
    if line.len() == before {
        write!(line, " {}", record.source())?;
    }
    match (record.decision(), record.outcome()) {
        (Decision::Denied, _) => line.push_str(": denied"),
        (Decision::Allowed, Outcome::Ok) => line.push_str(": ok"),
        (Decision::Allowed, Outcome::Failed) => line.push_str(": failed"),
    }
    if let Some(reason) = record.reason() {
        write!(line, ": {}", quoted(reason))?;
    }
    Ok(())
}

fn loss(line: &mut String, loss: &Loss) -> std::fmt::Result {
    let cause = serde_json::to_value(loss.cause).ok();
    let cause = cause.as_ref().and_then(|cause| cause.as_str()).unwrap_or("unknown cause");
    write!(line, "LOST {} records: {cause}", loss.count)?;
    if let (Some(first), Some(last)) = (loss.first_serial, loss.last_serial) {
        write!(line, ", kernel {first} to {last}")?;
    }
    if let Some(uid) = loss.uid {
        write!(line, ", of uid {uid}")?;
    }
    Ok(())
}

fn checkpoint(line: &mut String, note: &str) -> std::fmt::Result {
    let Ok(signed) = SignedCheckpoint::parse(note.as_bytes()) else { return Ok(()) };
    let checkpoint = signed.unverified();
    write!(line, "checkpoint of {} records, root {}", checkpoint.size, checkpoint.root)?;
    if let Some(boot) = &checkpoint.boot {
        write!(line, ", TPM reset {}, NV counter {}", boot.clock.reset_count, boot.nv_counter)?;
    }
    Ok(())
}
