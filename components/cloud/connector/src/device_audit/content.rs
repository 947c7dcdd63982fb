//! What a record says, for the index and for people: the one place that looks into payloads.

use holdfast_audit_log::AuditRecord;
use holdfast_audit_log::checkpoint::SignedCheckpoint;
use holdfast_audit_log::frame::{Frame, Kind};
use holdfast_audit_log::{Boot, ClockStep, Loss, Recovered};
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
    /// The payload, where it is JSON or text.
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
        Kind::KernelEvent => Users::Unknown,
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
        Kind::KernelEvent => None,
    };
    let (action, text) = told.unwrap_or_else(|| {
        let action = match frame.kind {
            Kind::KernelEvent => "kernel.event",
            _ => "log.unreadable",
        };
        (action.to_owned(), format!("{} bytes", frame.payload.len()))
    });
    Summary { action, text, payload: payload(frame) }
}

fn operation(frame: &Frame<'_>) -> Option<AuditRecord> {
    AuditRecord::from_json(str::from_utf8(frame.payload).ok()?).ok()
}

fn payload(frame: &Frame<'_>) -> Value {
    if frame.kind == Kind::KernelEvent {
        return Value::Null;
    }
    serde_json::from_slice(frame.payload)
        .unwrap_or_else(|_| String::from_utf8_lossy(frame.payload).into())
}
