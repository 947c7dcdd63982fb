//! What is plugged into a device and what was decided about it, read out of its audit log.

use std::collections::BTreeMap;

use holdfast_audit_log::AuditRecord;
use holdfast_audit_log::frame::{Class, Frame, Kind};
use holdfast_usb_rules::ports::PortName;
use holdfast_usb_rules::{Rule, RuleString, Target, ValueSet, Verdict};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::clock::from_unix;

/// Most devices that are remembered of one device; the ones that were decided about last.
pub const MOST_USB_DEVICES: u32 = 1000;

/// Short name of the daemon that writes these records.
const DAEMON: &str = "usb";
/// Longest name in sysfs: a bus and seven ports.
const LONGEST_NAME: usize = 40;
/// Attributes and interfaces that a cut record may lose.
const MOST_LOST: usize = 64;
/// What a text ends in that was cut.
const CUT: char = '…';

/// A USB device, as the device that it is plugged into tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsbDevice {
    /// Its folder in sysfs, as `1-2.3`.
    pub device: String,
    /// The port's name; none of a controller.
    pub port: Option<String>,
    /// `allow`, `block` or `reject`.
    pub target: String,
    /// Why.
    pub reason: String,
    /// It was only observed: the device may be used all the same.
    pub observed: bool,
    /// Vendor and product, as `0781:5583`; empty of a malformed device, like what follows.
    pub usb_id: String,
    /// What the device calls itself; anything may be in it.
    pub name: String,
    /// Its serial number, as it says.
    pub serial: String,
    /// Its hash.
    pub hash: String,
    /// Class, subclass and protocol of its interfaces.
    pub interfaces: Vec<String>,
    /// When, by the device's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub decided_at: OffsetDateTime,
}

/// What a batch of records changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsbChanges {
    /// The USB daemon started: what is plugged in is told anew.
    pub restarted: bool,
    /// By name in sysfs; none: it was taken away.
    pub devices: BTreeMap<String, Option<UsbDevice>>,
}

impl UsbChanges {
    /// Takes note of a record. One that is not of this form changes nothing.
    pub fn add(&mut self, frame: &Frame<'_>) {
        if frame.kind != Kind::Operation || frame.class != Class::Usb {
            return;
        }
        match change(frame) {
            Some(Change::Restarted) => *self = Self { restarted: true, devices: BTreeMap::new() },
            Some(Change::Removed(name)) => drop(self.devices.insert(name, None)),
            Some(Change::Decided(device)) => {
                self.devices.insert(device.device.clone(), Some(*device));
            }
            None => {}
        }
    }
}

enum Change {
    Restarted,
    Removed(String),
    Decided(Box<UsbDevice>),
}

fn change(frame: &Frame<'_>) -> Option<Change> {
    let record = AuditRecord::from_json(str::from_utf8(frame.payload).ok()?).ok()?;
    if record.source().daemon() != Some(DAEMON) {
        return None;
    }
    let target = record.target();
    let verdict = match record.action().as_str() {
        "usb.allow" => Verdict::Allow,
        "usb.block" => Verdict::Block,
        "usb.reject" => Verdict::Reject,
        "usb.remove" => {
            let end = target.find([' ', ':']).unwrap_or(target.len());
            return target
                .get(..end)
                .filter(|name| is_name(name))
                .map(|n| Change::Removed(n.into()));
        }
        // Only at its start the daemon says where the rules are from.
        "usb.rules-load" if target == "none" || target.ends_with(')') => {
            return Some(Change::Restarted);
        }
        _ => return None,
    };
    let seconds = i64::try_from(frame.time.realtime_ns / 1_000_000_000).unwrap_or(i64::MAX);
    decided(target, verdict, from_unix(seconds)).map(|device| Change::Decided(Box::new(device)))
}

/// `by REASON[; only observed]: NAME[ (PORT)][: device ...]`. A reason may have a label in it and
/// with it anything: its end is where the rest has the form.
fn decided(text: &str, target: Verdict, decided_at: OffsetDateTime) -> Option<UsbDevice> {
    let text = text.strip_prefix("by ")?;
    let mut ends = text.match_indices(": ");
    let (reason, (name, port, rule)) =
        ends.find_map(|(end, _)| Some((&text[..end], place(&text[end + 2..])?)))?;
    let (reason, observed) = match reason.strip_suffix("; only observed") {
        Some(reason) => (reason, true),
        None => (reason, false),
    };
    let rule = rule.as_ref();
    let text = |set: Option<&ValueSet<RuleString>>| {
        let first = set.and_then(|set| set.values().first());
        first.map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned()).unwrap_or_default()
    };
    let id = rule.and_then(|rule| rule.id.as_ref()).and_then(|set| set.values().first());
    let interfaces = rule.and_then(|rule| rule.with_interface.as_ref());
    let interfaces = interfaces.map(|set| set.values().iter().map(ToString::to_string).collect());
    Some(UsbDevice {
        device: name.to_owned(),
        port: port.map(str::to_owned),
        target: target.name().to_owned(),
        reason: reason.to_owned(),
        observed,
        usb_id: id.map(ToString::to_string).unwrap_or_default(),
        name: text(rule.and_then(|rule| rule.name.as_ref())),
        serial: text(rule.and_then(|rule| rule.serial.as_ref())),
        hash: text(rule.and_then(|rule| rule.hash.as_ref())),
        interfaces: interfaces.unwrap_or_default(),
        decided_at,
    })
}

/// `NAME[ (PORT)][: device ...]`
fn place(text: &str) -> Option<(&str, Option<&str>, Option<Rule>)> {
    let (place, rule) = match text.split_once(": ") {
        Some((place, rule)) => (place, Some(device_rule(rule)?)),
        None => (text, None),
    };
    let (name, port) = match place.split_once(" (") {
        Some((name, port)) => (name, Some(port.strip_suffix(')')?)),
        None => (place, None),
    };
    let is_good = is_name(name) && port.is_none_or(|port| PortName::parse(port).is_some());
    is_good.then_some((name, port, rule))
}

/// A device as a rule. Of one that was cut, what is whole.
fn device_rule(text: &str) -> Option<Rule> {
    let parse = |text: &str| {
        let rule = Rule::parse_query(text.as_bytes()).ok()?;
        (rule.target == Target::Device).then_some(rule)
    };
    let Some(mut whole) = text.strip_suffix(CUT) else { return parse(text) };
    for _ in 0..MOST_LOST {
        whole = whole.rsplit_once(' ')?.0;
        if let Some(rule) = parse(whole) {
            return Some(rule);
        }
    }
    None
}

/// `usb1`, `1-2`, `1-2.3`
fn is_name(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_device = |text: &str| {
        let parts = text.split_once('-');
        parts.is_some_and(|(bus, ports)| is_number(bus) && ports.split('.').all(is_number))
    };
    text.len() <= LONGEST_NAME
        && (text.strip_prefix("usb").is_some_and(is_number) || is_device(text))
}

#[cfg(test)]
mod tests {
    use holdfast_audit_log::frame::Timestamp;
    use holdfast_audit_log::{Action, Actor, Source, Text};
    use proptest::prelude::*;

    use super::*;

    const STICK: &str = "device id 0781:5583 serial \"4C53\" name \"Ultra \\\"Fit\\x1b\" \
        hash \"q83v\" parent-hash \"pp\" with-interface 08:06:50 with-connect-type \"hotplug\"";
    const PORT: &str = "pci0000:00/0000:00:14.0/hs/2";

    fn at() -> OffsetDateTime {
        from_unix(1_800_000_000)
    }

    fn read(text: &str) -> Option<UsbDevice> {
        decided(text, Verdict::Allow, at())
    }

    #[test]
    fn a_decision_is_read_back() {
        let stick = read(&format!("by rule 3 (label \"a: 1-2: b\"): 1-2 ({PORT}): {STICK}"));
        let expected = UsbDevice {
            device: "1-2".to_owned(),
            port: Some(PORT.to_owned()),
            target: "allow".to_owned(),
            reason: "rule 3 (label \"a: 1-2: b\")".to_owned(),
            observed: false,
            usb_id: "0781:5583".to_owned(),
            name: "Ultra \"Fit\u{1b}".to_owned(),
            serial: "4C53".to_owned(),
            hash: "q83v".to_owned(),
            interfaces: vec!["08:06:50".to_owned()],
            decided_at: at(),
        };
        assert_eq!(stick, Some(expected));
        let hub = read("by implicit; only observed: usb1: device id 1d6b:0002").unwrap();
        assert_eq!((hub.reason.as_str(), hub.observed, hub.port), ("implicit", true, None));
        let malformed = read(&format!("by malformed: no: descriptors: 1-2.3 ({PORT}.3)")).unwrap();
        assert_eq!(malformed.reason, "malformed: no: descriptors");
        assert_eq!((malformed.device.as_str(), malformed.usb_id.as_str()), ("1-2.3", ""));
    }

    #[test]
    fn of_a_decision_that_was_cut_the_rest_is_read() {
        let long = "x".repeat(500);
        let line = format!("by rule 1: 1-2 ({PORT}): device id 0781:5583 serial \"4C53\" name");
        let cut = Text::<512>::lossy(&format!("{line} \"{long}\" hash \"q83v\""));
        let stick = read(cut.as_str()).unwrap();
        assert_eq!((stick.usb_id.as_str(), stick.serial.as_str()), ("0781:5583", "4C53"));
        assert_eq!((stick.name.as_str(), stick.hash.as_str()), ("", ""));
        let many = "03:01:01 ".repeat(40);
        let cut = Text::<512>::lossy(&format!("{line} \"N\" with-interface {{ {many}}}"));
        assert_eq!(read(cut.as_str()).unwrap().name, "N");
        assert_eq!(read("by rule 1: 1-2: …"), None);
    }

    #[test]
    fn what_has_another_form_is_nothing() {
        for text in [
            "",
            "by rule 1",
            "1-2: device id 0781:5583",
            "by rule 1: 1-2:1.0: device id 0781:5583",
            "by rule 1: 1-2 (somewhere): device id 0781:5583",
            "by rule 1: 1-2 (a/hs/2: device id 0781:5583",
            "by rule 1: 1-2: allow id 0781:5583",
            "by rule 1: 1-2: device id 0781:5583 colour \"red\"",
            "by rule 1: ../../etc: device id 0781:5583",
            "by rule 1: 1-: device id 0781:5583",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    fn frame(class: Class, source: &str, action: &str, target: &str) -> UsbChanges {
        let record = AuditRecord::new(
            at(),
            Source::try_from(source.to_owned()).unwrap(),
            Actor::system(),
            Action::new(action).unwrap(),
            Text::lossy(target),
        );
        let payload = record.to_json().unwrap();
        let mut changes = UsbChanges::default();
        changes.add(&Frame {
            sequence: 1,
            class,
            kind: Kind::Operation,
            time: Timestamp {
                realtime_ns: 1_800_000_000_000_000_000,
                boottime_ns: 0,
                is_synchronised: true,
            },
            previous: holdfast_audit_log::Hash::new([0; 32]),
            payload: payload.as_bytes(),
        });
        changes
    }

    #[test]
    fn only_records_of_the_usb_daemon_count() {
        let text = format!("by implicit: 1-2: {STICK}");
        let count = |changes: UsbChanges| changes.devices.len();
        assert_eq!(count(frame(Class::Usb, "device:usb", "usb.block", &text)), 1);
        assert_eq!(count(frame(Class::Usb, "device:enroller", "usb.block", &text)), 0);
        assert_eq!(count(frame(Class::Operation, "device:usb", "usb.block", &text)), 0);
        assert_eq!(count(frame(Class::Usb, "device:usb", "usb.decide", &text)), 0);
        let removed = frame(Class::Usb, "device:usb", "usb.remove", "1-2 (a/hs/2): device");
        assert_eq!(removed.devices.into_iter().collect::<Vec<_>>(), [("1-2".to_owned(), None)]);
        assert_eq!(count(frame(Class::Usb, "device:usb", "usb.remove", "nothing")), 0);
        for (target, is_start) in [
            ("/var/lib/holdfast/usb/rules.conf (device)", true),
            ("none", true),
            ("/var/lib/holdfast/usb/rules.conf", false),
        ] {
            let changes = frame(Class::Usb, "device:usb", "usb.rules-load", target);
            assert_eq!(changes.restarted, is_start, "{target}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_text_is(text in "(by )?[a-z0-9: ()/.\"…-]{0,80}") {
            if let Some(device) = read(&text) {
                prop_assert!(is_name(&device.device));
            }
        }
    }
}
