//! From what happens on the ports to the signals that tell it.

use std::collections::BTreeMap;

use holdfast_usb_rules::Verdict;
use zbus::{Connection, object_server::SignalEmitter};

use super::usb1::Signals;
use super::usbguard::{DevicesSignals, RootSignals, number};
use super::usbguard_names::{DEVICES_PATH, ROOT_PATH};
use super::{DecisionReport, DeviceFacts, EventStream, OBJECT_PATH, Presence, UsbEvent};

/// Number that stands for what is done with devices that no rule is for (USBGuard's `ImplicitID`).
const RULE_IMPLICIT: u32 = u32::MAX - 1;

/// A decision as it concerns USBGuard's clients.
struct Change<'a> {
    device: &'a DeviceFacts,
    old: Verdict,
    new: Verdict,
    rule: u32,
}

impl EventStream {
    /// Tells events until the last sender or the connection is gone.
    pub(super) async fn announce(mut self, connection: Connection) {
        while let Some(event) = self.0.recv().await {
            if let Err(error) = announce(&connection, &event).await {
                tracing::warn!("an event is not told on the bus: {error}");
                if connection.is_closed() {
                    return;
                }
            }
        }
    }
}

async fn announce(connection: &Connection, event: &UsbEvent) -> zbus::Result<()> {
    match event {
        UsbEvent::Presence { device, presence, verdict } => {
            SignalEmitter::new(connection, DEVICES_PATH)?
                .device_presence_changed(
                    device.id,
                    presence_number(*presence),
                    number(*verdict),
                    &device.rule,
                    attributes(device),
                )
                .await
        }
        UsbEvent::Decided { report, device, old, new, rule } => {
            decided(connection, report).await?;
            // A device that left has no target; to USBGuard's clients its presence says so.
            if Verdict::from_name(&report.target).is_none() {
                return Ok(());
            }
            // A new device is blocked until it is decided about.
            let (old, rule) = (old.unwrap_or(Verdict::Block), rule.unwrap_or(RULE_IMPLICIT));
            changed(connection, Change { device, old, new: *new, rule }).await
        }
        UsbEvent::Parameter { name, old, new } => {
            SignalEmitter::new(connection, ROOT_PATH)?
                .property_parameter_changed(name, old, new)
                .await
        }
        UsbEvent::Exception { context, object, reason } => {
            SignalEmitter::new(connection, ROOT_PATH)?
                .exception_message(&sendable(context), &sendable(object), &sendable(reason))
                .await
        }
    }
}

async fn decided(connection: &Connection, report: &DecisionReport) -> zbus::Result<()> {
    let json =
        serde_json::to_string(report).map_err(|error| zbus::Error::Failure(error.to_string()))?;
    SignalEmitter::new(connection, OBJECT_PATH)?.decided(&json).await
}

async fn changed(connection: &Connection, change: Change<'_>) -> zbus::Result<()> {
    let Change { device, old, new, rule } = change;
    let emitter = SignalEmitter::new(connection, DEVICES_PATH)?;
    let (id, target) = (device.id, number(new));
    if old != new {
        emitter
            .device_policy_changed(id, number(old), target, &device.rule, rule, attributes(device))
            .await?;
    }
    emitter.device_policy_applied(id, target, &device.rule, rule, attributes(device)).await
}

const fn presence_number(presence: Presence) -> u32 {
    match presence {
        Presence::Present => 0,
        Presence::Insert => 1,
        Presence::Update => 2,
        Presence::Remove => 3,
    }
}

fn attributes(device: &DeviceFacts) -> BTreeMap<&str, String> {
    device.attributes.iter().map(|(name, value)| (*name, sendable(value))).collect()
}

/// A string as D-Bus takes it: without NUL, so that no device keeps a signal from going out.
fn sendable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
