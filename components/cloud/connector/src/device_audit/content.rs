//! What a record says, for the index and for people: the one place that looks into payloads.

use holdfast_audit_log::checkpoint::SignedCheckpoint;
use holdfast_audit_log::frame::{Frame, Kind};
use holdfast_audit_log::kernel::{KernelEvent, Message};
use holdfast_audit_log::{AuditRecord, Boot, ClockStep, Loss, Recovered, Text};
use serde_json::Value;

/// The users that a record is about, by uid and login uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    /// All of them.
    Known(Vec<u32>),
    /// The payload does not tell.
    Unknown,
}

/// A record in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What was done, by a stable name.
    pub action: String,
    /// One line for people.
    pub text: String,
    /// The payload: JSON, text, or the kernel's messages, one line each.
    pub payload: Value,
}

/// Who a record is about.
pub fn users_of(frame: &Frame<'_>) -> Users {
    match frame.kind {
        Kind::Operation => operation(frame).map_or(Users::Unknown, |record| {
            let actor = record.actor();
            Users::Known(actor.uid.into_iter().chain(actor.login_uid).collect())
        }),
        Kind::Loss | Kind::Recovered | Kind::Checkpoint | Kind::Boot | Kind::Clock => {
            Users::Known(Vec::new())
        }
        Kind::KernelEvent => KernelEvent::parse(frame.payload).map_or(Users::Unknown, |event| {
            Users::Known(event.uid().into_iter().chain(event.login_uid()).collect())
        }),
    }
}

/// What a record says. A payload that is not what its kind promises is shown as such: it is part of
/// the log all the same.
pub fn summary_of(frame: &Frame<'_>) -> Summary {
    let told = match frame.kind {
        Kind::Operation => operation(frame).map(|record| {
            let outcome = record.reason().unwrap_or("done");
            let text = format!("{}: {outcome}", record.target());
            (record.action().to_string(), text)
        }),
        Kind::Loss => Loss::from_json(frame.payload).ok().map(|loss| {
            let cause = serde_json::to_value(loss.cause).unwrap_or_default();
            let cause = cause.as_str().unwrap_or_default().to_owned();
            ("log.loss".to_owned(), format!("{} records lost: {cause}", loss.count))
        }),
        Kind::Recovered => Recovered::from_json(frame.payload).ok().map(|cut| {
            let text = format!("{} bytes cut off: {}", cut.bytes, cut.fault);
            ("log.recovered".to_owned(), text)
        }),
        Kind::Boot => Boot::from_json(frame.payload).ok().map(|boot| {
            let Boot { boot_id, release, kernel, firmware } = boot;
            let text = format!("{release}, kernel {kernel}, firmware {firmware}, boot {boot_id}");
            ("system.boot".to_owned(), text)
        }),
        Kind::Clock => ClockStep::from_json(frame.payload).ok().map(|step| {
            let seconds = (i128::from(step.after_ns) - i128::from(step.before_ns)) / 1_000_000_000;
            ("system.clock".to_owned(), format!("set by {seconds:+} s"))
        }),
        Kind::Checkpoint => SignedCheckpoint::parse(frame.payload).ok().map(|signed| {
            let checkpoint = signed.unverified();
            let boot = checkpoint.boot.map_or_else(String::new, |boot| {
                format!(", start {} of the TPM", boot.clock.reset_count)
            });
            let text = format!("{} records, root {}{boot}", checkpoint.size, checkpoint.root);
            ("log.checkpoint".to_owned(), text)
        }),
        Kind::KernelEvent => KernelEvent::parse(frame.payload).ok().map(|event| kernel(&event)),
    };
    let (action, text) = told
        .unwrap_or_else(|| ("log.unreadable".to_owned(), format!("{} bytes", frame.payload.len())));
    Summary { action, text, payload: payload(frame) }
}

/// Named by the key of the rule that it matched, else by the type of its first message.
fn kernel(event: &KernelEvent<'_>) -> (String, String) {
    let first = event.messages().next();
    let name = event
        .key()
        .map(|key| String::from_utf8_lossy(&key).into_owned())
        .or_else(|| first.map(|message| message.kind.to_string().to_ascii_lowercase()));
    let arguments: Vec<_> = event
        .arguments()
        .iter()
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    let text = match (arguments.is_empty(), event.exe()) {
        (false, _) => arguments.join(" "),
        (true, Some(exe)) => String::from_utf8_lossy(&exe).into_owned(),
        (true, None) => first
            .map(|message| String::from_utf8_lossy(message.text).into_owned())
            .unwrap_or_default(),
    };
    let action = format!("kernel.{}", name.unwrap_or_else(|| "event".to_owned()));
    (printable(&action), printable(&text))
}

/// Processes choose much of what the kernel writes down.
fn printable(text: &str) -> String {
    Text::<512>::lossy(text).as_str().to_owned()
}

fn operation(frame: &Frame<'_>) -> Option<AuditRecord> {
    AuditRecord::from_json(str::from_utf8(frame.payload).ok()?).ok()
}

fn payload(frame: &Frame<'_>) -> Value {
    if frame.kind == Kind::KernelEvent {
        let Ok(event) = KernelEvent::parse(frame.payload) else { return Value::Null };
        let line = |message: Message<'_>| {
            let (kind, id) = (message.kind, event.id);
            let text = String::from_utf8_lossy(message.text);
            Value::from(format!("type={kind} msg=audit({id}): {text}"))
        };
        return event.messages().map(line).collect();
    }
    serde_json::from_slice(frame.payload)
        .unwrap_or_else(|_| String::from_utf8_lossy(frame.payload).into())
}

#[cfg(test)]
mod tests {
    use holdfast_audit_log::Hash;
    use holdfast_audit_log::frame::{Class, Timestamp};
    use holdfast_audit_log::kernel::{EventBuffer, EventId, MessageType};

    use super::*;

    fn frame(kind: Kind, payload: &[u8]) -> Frame<'_> {
        let previous = Hash::of(&[]);
        let time = Timestamp::default();
        Frame { sequence: 0, class: Class::Kernel, kind, time, previous, payload }
    }

    #[test]
    fn an_event_of_the_kernel_is_told_by_its_fields() {
        let mut event =
            EventBuffer::new(EventId { seconds: 1_364_481_363, milliseconds: 243, serial: 24_287 });
        let call = b"arch=c000003e syscall=59 auid=1000 uid=0 exe=\"/usr/bin/ls\" key=\"hf-exec\"";
        assert!(event.push(Message { kind: MessageType::SYSCALL, text: call }));
        let arguments = b"argc=2 a0=\"ls\" a1=2F746D702F411B5B";
        assert!(event.push(Message { kind: MessageType::EXECVE, text: arguments }));
        let payload = event.event().as_payload().to_vec();
        let frame = frame(Kind::KernelEvent, &payload);
        assert_eq!(users_of(&frame), Users::Known(vec![0, 1000]));
        let Summary { action, text, payload } = summary_of(&frame);
        assert_eq!((action.as_str(), text.as_str()), ("kernel.hf-exec", "ls /tmp/A\u{FFFD}["));
        let line = payload[1].as_str().unwrap();
        let expected = "type=EXECVE msg=audit(1364481363.243:24287): argc=2 a0=\"ls\"";
        assert!(line.starts_with(expected), "{line}");
    }

    #[test]
    fn what_is_not_what_its_kind_promises_is_shown_as_such() {
        for kind in Kind::ALL {
            let summary = summary_of(&frame(kind, b"\xff\x00"));
            assert_eq!(
                (summary.action.as_str(), summary.text.as_str()),
                ("log.unreadable", "2 bytes")
            );
        }
        assert_eq!(users_of(&frame(Kind::Operation, b"{}")), Users::Unknown);
        assert_eq!(users_of(&frame(Kind::KernelEvent, b"x")), Users::Unknown);
        let loss = br#"{"cause":"serial-gap","count":3}"#;
        let summary = summary_of(&frame(Kind::Loss, loss));
        assert_eq!(summary.text, "3 records lost: serial-gap");
    }
}
