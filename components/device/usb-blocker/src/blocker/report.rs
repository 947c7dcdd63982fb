//! What is told about devices, ports and rules.

use holdfast_ipc::usb::{
    ConditionReport, DecisionReport, DeviceCounts, DeviceFacts, DeviceReport, Explanation,
    PortReport, PortsStatus, RuleCheck, RuleReport, RulesStatus, UsbStatus,
};
use holdfast_ipc::{CallError, ErrorKind};
use holdfast_usb_rules::{
    Device, Rule, RuleDetail, RuleExplanation, RuleString, Target, Truth, Verdict,
};

use super::Blocker;
use super::entry::{Entry, Ruling};
use super::judge;
use crate::clock::Now;
use crate::config::Mode;
use crate::rules::Origin;
use crate::sysfs::Sysfs;

/// A device in one line of the log: where it is, and the device as a rule. The registry reads it.
pub(super) fn line<F>(entry: &Entry<F>) -> String {
    let port = entry.port.as_ref().map(|port| format!(" ({port})")).unwrap_or_default();
    match entry.device() {
        Some(device) => {
            let detail = RuleDetail { port: false, parent: true };
            format!("{}{port}: {}", entry.name, device.to_rule(Target::Device, detail))
        }
        None => format!("{}{port}", entry.name),
    }
}

/// A device in USBGuard's signals.
pub(super) fn facts<F>(entry: &Entry<F>, verdict: Verdict) -> DeviceFacts {
    let mut attributes = vec![("via-port", entry.name.to_string())];
    if let Some(device) = entry.device() {
        attributes.extend([
            ("id", device.id.to_string()),
            ("name", text(&device.name)),
            ("serial", text(&device.serial)),
            ("hash", text(&device.hash)),
            ("parent-hash", text(&device.parent_hash)),
            ("with-interface", interfaces(device).join(" ")),
            ("with-connect-type", text(&device.connect_type)),
        ]);
    }
    DeviceFacts { id: entry.number, rule: entry.rule(verdict.into()), attributes }
}

/// A decision that was made.
pub(super) fn decision<F>(entry: &Entry<F>, ruling: &Ruling, observed: bool) -> DecisionReport {
    let device = entry.device();
    DecisionReport {
        id: entry.number,
        device: entry.name.to_string(),
        usb_id: device.map(|device| device.id.to_string()).unwrap_or_default(),
        name: device.map(|device| text(&device.name)).unwrap_or_default(),
        target: ruling.verdict.name().to_owned(),
        reason: ruling.reason.clone(),
        rule: entry.rule(ruling.verdict.into()),
        observed,
    }
}

/// What a device calls itself may be no UTF-8.
fn text(string: &RuleString) -> String {
    String::from_utf8_lossy(string.as_bytes()).into_owned()
}

fn interfaces(device: &Device) -> Vec<String> {
    device.interfaces.iter().map(ToString::to_string).collect()
}

fn unknown_device(number: u32) -> CallError {
    let message = format!("there is no device {number}; `holdfast usb list` shows which there are");
    CallError::new(ErrorKind::InvalidArgs, message)
}

impl<S: Sysfs> Blocker<S> {
    /// The devices that are there, in the order in which they came.
    pub fn devices(&self, now: &Now) -> Vec<DeviceReport> {
        self.in_order().map(|entry| self.device_report(entry, now)).collect()
    }

    /// Devices that a query covers, each as a rule with its target.
    pub fn matching(&self, query: &Rule) -> Vec<(u32, String)> {
        let is_meant = |entry: &&Entry<S::Folder>| {
            let verdict = entry.ruling.as_ref().map_or(Verdict::Block, |ruling| ruling.verdict);
            let target = Verdict::of(query.target).is_none_or(|meant| meant == verdict);
            target && entry.device().is_some_and(|device| query.covers(device))
        };
        let meant = self.in_order().filter(is_meant);
        meant.map(|entry| (entry.number, entry.rule(verdict(entry).into()))).collect()
    }

    /// The ports that are there.
    pub fn ports(&self) -> Vec<PortReport> {
        let ports = self.entries.values().flat_map(|hub| {
            hub.ports.iter().map(move |port| {
                let child = hub.name.child(port.number);
                let is_there = self.entries.contains_key(&child);
                PortReport {
                    name: port.name.to_string(),
                    sysfs: format!("{}-port{}", hub.name, port.number),
                    state: self.port_list.content.of(&port.name).name().to_owned(),
                    enabled: port.is_enabled,
                    connect_type: port.connect_type.clone(),
                    device: if is_there { child.to_string() } else { String::new() },
                }
            })
        });
        ports.collect()
    }

    /// The rules in force.
    pub fn rules(&self) -> Vec<RuleReport> {
        let rules = self.rules.content.rules();
        rules
            .map(|(id, rule)| RuleReport {
                id: id.0,
                rule: rule.to_string(),
                temporary: self.temporary.contains(&id),
            })
            .collect()
    }

    /// Rules with a label; all of them without one.
    pub fn labelled(&self, label: Option<&str>) -> Vec<holdfast_ipc::usb::RuleText> {
        let has_label = |rule: &Rule| {
            let label = label.map(RuleString::from);
            label.is_none_or(|label| {
                rule.label.as_ref().is_some_and(|labels| labels.values().contains(&label))
            })
        };
        let rules = self.rules.content.rules().filter(|(_, rule)| has_label(rule));
        rules.map(|(id, rule)| (id, rule.to_string())).collect()
    }

    /// How the daemon is.
    pub fn status(&self) -> UsbStatus {
        let ports = || self.entries.values().flat_map(|hub| &hub.ports);
        let devices = || self.entries.values().filter(|entry| !entry.is_removed);
        let open = ports().filter(|port| port.is_enabled).count();
        let allowed = devices().filter(|entry| entry.is_authorized).count();
        let is_healthy = self.rules.is_healthy()
            && self.port_list.is_healthy()
            && self.port_faults.is_empty()
            && self.bus_fault.is_none();
        UsbStatus {
            mode: self.mode.name().to_owned(),
            healthy: is_healthy,
            rules: RulesStatus {
                state: self.rules.origin.name().to_owned(),
                file: self.rules_place.file(self.rules.origin),
                error: self.rules.error.clone().unwrap_or_default(),
                count: self.rules.content.rules().count(),
            },
            ports: PortsStatus {
                state: self.port_list.origin.name().to_owned(),
                error: self.port_list.error.clone().unwrap_or_default(),
                open,
                shut: ports().count() - open,
            },
            devices: DeviceCounts { allowed, blocked: devices().count() - allowed },
            policy_version: self.cloud.newest().map(|read| read.policy.version),
        }
    }

    /// Why a device is treated as it is.
    pub fn explain(&self, number: u32, now: &Now) -> Result<Explanation, CallError> {
        let entry = self.numbered(number)?;
        let rules = match entry.device() {
            None => Vec::new(),
            Some(device) => self.with_standard(entry, |standard| {
                let draw = |rule, condition| entry.draws.draw(rule, condition);
                let circumstances = judge::circumstances(entry, standard, now, &draw);
                let explanations = self.policy.explain(device, &circumstances);
                explanations.iter().map(check).collect()
            }),
        };
        Ok(Explanation { device: self.device_report(entry, now), rules })
    }

    /// A policy that lets in what is there now.
    pub fn generate_policy(&self, with_ports: bool) -> String {
        let devices = self.in_order().filter(|entry| !entry.name.is_controller());
        let rules = devices.filter_map(|entry| {
            let device = entry.device()?;
            // Without a serial number nothing else tells two of them apart.
            let port = with_ports || device.serial.is_empty();
            Some(device.to_rule(Target::Allow, RuleDetail { port, parent: false }))
        });
        rules.flat_map(|rule| [rule.to_string(), "\n".to_owned()]).collect()
    }

    /// The device of this number.
    pub(super) fn numbered(&self, number: u32) -> Result<&Entry<S::Folder>, CallError> {
        let mut entries = self.entries.values();
        entries.find(|entry| entry.number == number).ok_or_else(|| unknown_device(number))
    }

    fn in_order(&self) -> impl Iterator<Item = &Entry<S::Folder>> {
        let mut entries: Vec<_> = self.entries.values().filter(|entry| !entry.is_removed).collect();
        entries.sort_by_key(|entry| entry.number);
        entries.into_iter()
    }

    fn device_report(&self, entry: &Entry<S::Folder>, now: &Now) -> DeviceReport {
        let device = entry.device();
        let of = |get: fn(&Device) -> String| device.map(get).unwrap_or_default();
        let ruling = entry.ruling.as_ref();
        let until = entry.hold.and_then(|hold| hold.until);
        DeviceReport {
            id: entry.number,
            device: entry.name.to_string(),
            port: entry.port.as_ref().map(ToString::to_string).unwrap_or_default(),
            usb_id: of(|device| device.id.to_string()),
            name: of(|device| text(&device.name)),
            serial: of(|device| text(&device.serial)),
            hash: of(|device| text(&device.hash)),
            interfaces: device.map(interfaces).unwrap_or_default(),
            connect_type: of(|device| text(&device.connect_type)),
            authorized: entry.is_authorized,
            target: verdict(entry).name().to_owned(),
            reason: ruling.map(|ruling| ruling.reason.clone()).unwrap_or_default(),
            observed: self.mode == Mode::Observe,
            seconds_left: until.map(|until| until.saturating_sub(now.uptime).as_secs()),
            rule: entry.rule(verdict(entry).into()),
        }
    }

    /// Says in the log which rules and ports are in force, and what is wrong with others. Only here
    /// the target says where they are from: that is how the registry knows of a start.
    pub(super) fn note_loading(&mut self) {
        let rules = (&self.rules.error, self.rules.origin, &self.rules_place, "usb.rules-load");
        let ports =
            (&self.port_list.error, self.port_list.origin, &self.ports_place, "usb.ports-load");
        let mut notes = Vec::new();
        for (error, origin, place, action) in [rules, ports] {
            let target = match origin {
                Origin::None => "none".to_owned(),
                origin => format!("{} ({})", place.file(origin), origin.name()),
            };
            let outcome = match error {
                Some(error) => super::NoteOutcome::Failed(error.clone()),
                None => super::NoteOutcome::Done,
            };
            notes.push((action, target, outcome));
        }
        for (action, target, outcome) in notes {
            self.news.note(action, target, outcome);
        }
    }
}

fn verdict<F>(entry: &Entry<F>) -> Verdict {
    entry.ruling.as_ref().map_or(Verdict::Block, |ruling| ruling.verdict)
}

fn check(explanation: &RuleExplanation<'_>) -> RuleCheck {
    let conditions = explanation.conditions.iter().map(|(condition, truth)| ConditionReport {
        condition: condition.to_string(),
        holds: match truth {
            Truth::True => "true".to_owned(),
            Truth::False => "false".to_owned(),
            Truth::Unknown => "unknown".to_owned(),
        },
    });
    RuleCheck {
        id: explanation.id.0,
        rule: explanation.rule.to_string(),
        applies: explanation.applies,
        mismatches: explanation.mismatches.iter().map(ToString::to_string).collect(),
        conditions: conditions.collect(),
    }
}
