//! What happens on the ports, on its way to the signals that tell it.

use holdfast_usb_rules::Verdict;
use tokio::sync::mpsc;

use super::DecisionReport;

/// How many events may wait for the bus. Those that do not fit are lost: they are news, the log has
/// every decision.
const MOST_WAITING: usize = 1024;

/// A device in USBGuard's signals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Number of the device.
    pub id: u32,
    /// The device as a rule with its target.
    pub rule: String,
    /// `id`, `name`, `serial`, `via-port`, `hash`, `parent-hash`, `with-interface` and
    /// `with-connect-type`.
    pub attributes: Vec<(&'static str, String)>,
}

/// What became of a device's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It was there when the daemon started.
    Present,
    /// It came.
    Insert,
    /// It changed.
    Update,
    /// It went.
    Remove,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsbEvent {
    /// A device is there, came or went.
    Presence {
        /// The device.
        device: DeviceFacts,
        /// What became of it.
        presence: Presence,
        /// What the policy says of it.
        verdict: Verdict,
    },
    /// A device was decided about.
    Decided {
        /// For `org.holdfast.Usb1`.
        report: DecisionReport,
        /// The device.
        device: DeviceFacts,
        /// What was said of it before; none if it is new.
        old: Option<Verdict>,
        /// What is said of it now.
        new: Verdict,
        /// Number of the rule that says so; none if none does.
        rule: Option<u32>,
    },
    /// A parameter was changed.
    Parameter {
        /// Its name.
        name: &'static str,
        /// The value before.
        old: &'static str,
        /// The value now.
        new: &'static str,
    },
    /// Something went wrong.
    Exception {
        /// Where.
        context: String,
        /// With what.
        object: String,
        /// Why.
        reason: String,
    },
}

/// Takes events without ever waiting. Clones feed one stream.
#[derive(Clone, Debug)]
pub struct UsbEvents(mpsc::Sender<UsbEvent>);

/// The events that [`serve`](super::serve) tells.
#[derive(Debug)]
pub struct EventStream(pub(super) mpsc::Receiver<UsbEvent>);

impl UsbEvents {
    /// A sender and the stream to hand to [`serve`](super::serve).
    pub fn new() -> (Self, EventStream) {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        (Self(sender), EventStream(receiver))
    }

    /// Tells an event; it is dropped where too many wait.
    pub fn tell(&self, event: UsbEvent) {
        if let Err(error) = self.0.try_send(event) {
            tracing::debug!("an event is not told on the bus: {error}");
        }
    }
}
