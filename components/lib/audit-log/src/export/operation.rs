//! What our daemons were asked for.

use super::line::UserMessage;
use crate::frame::{Class, Frame};
use crate::kernel::MessageType;
use crate::{Actor, ActorKind, AuditRecord, Decision, Outcome};

/// A record that was handed in so much later than its operation also says when that was, seconds.
const LATE: i64 = 1;

pub(super) fn message(frame: &Frame<'_>, record: &AuditRecord) -> UserMessage {
    let (kind, target) = match frame.class {
        // As USBGuard and the updaters of distributions write them.
        Class::Usb => (MessageType::USER_DEVICE, "device"),
        Class::Update => (MessageType::SOFTWARE_UPDATE, "sw"),
        Class::Permission => (MessageType::USER_MGMT, "name"),
        _ => (MessageType::USER, "name"),
    };
    let mut message = UserMessage::new(kind, record.action().as_str(), frame);
    let Actor { kind, uid, login_uid, pid, process, unit, name } = record.actor();
    (message.pid, message.uid, message.login_uid) = (*pid, *uid, *login_uid);
    message.word("source", record.source().daemon().unwrap_or("cloud"));
    let made = i64::try_from(frame.time.realtime_ns / 1_000_000_000).unwrap_or(i64::MAX);
    let asked = record.time().unix_timestamp();
    if made.abs_diff(asked) > LATE.unsigned_abs() {
        message.word("asked", asked);
    }
    message.text(target, record.target());
    message.word(
        "decision",
        match record.decision() {
            Decision::Allowed => "allowed",
            Decision::Denied => "denied",
        },
    );
    if let Some(reason) = record.reason() {
        message.text("info", reason);
    }
    message.word("arguments", String::from(*record.arguments_sha256()));
    message.word(
        "actor",
        match kind {
            ActorKind::User => "user",
            ActorKind::Device => "device",
            ActorKind::ApiKey => "api-key",
            ActorKind::System => "system",
        },
    );
    for (field, text) in [
        ("unit", unit.as_ref().map(crate::Text::as_str)),
        ("acct", name.as_ref().map(crate::Text::as_str)),
        ("exe", process.as_ref().map(crate::Text::as_str)),
    ] {
        if let Some(text) = text {
            message.text(field, text);
        }
    }
    match record.outcome() {
        Outcome::Ok => message,
        Outcome::Failed => message.failed(),
    }
}
