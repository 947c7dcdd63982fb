//! What happened, on its way to the audit log and to the bus.

use holdfast_ipc::usb::UsbEvent;

/// What is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Stable name, as in `usb.block`.
    pub action: &'static str,
    /// What it is about.
    pub target: String,
    /// How it ended.
    pub outcome: NoteOutcome,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteOutcome {
    /// It was done.
    Done,
    /// It was not let happen, for this reason.
    Denied(String),
    /// It went wrong, for this reason.
    Failed(String),
}

/// What happened since it was last taken.
#[derive(Debug, Default)]
pub struct News {
    /// In their order.
    pub notes: Vec<Note>,
    /// In their order.
    pub events: Vec<UsbEvent>,
}

impl News {
    pub(super) fn note(&mut self, action: &'static str, target: String, outcome: NoteOutcome) {
        match &outcome {
            NoteOutcome::Done => tracing::info!("{action} {target}"),
            NoteOutcome::Denied(reason) => tracing::info!("{action} {target}: {reason}"),
            NoteOutcome::Failed(reason) => tracing::warn!("{action} {target} failed: {reason}"),
        }
        self.notes.push(Note { action, target, outcome });
    }
}
