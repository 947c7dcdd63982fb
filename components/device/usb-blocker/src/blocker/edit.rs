//! What people change: devices, rules, ports, parameters. What cannot be kept is not done.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_ipc::usb::{Lasting, Order, Parameter, UsbEvent};
use holdfast_ipc::{CallError, ErrorKind};
use holdfast_usb_rules::ports::{PortName, PortUse};
use holdfast_usb_rules::{
    Document, EditError, History, Position, Rule, RuleDetail, RuleId, Verdict,
};

use super::entry::{Entry, Hold, Identity};
use super::news::NoteOutcome;
use super::{Blocker, parse_ports, parse_rules};
use crate::clock::Now;
use crate::file::FileError;
use crate::rules::{Kept, Origin};
use crate::sysfs::Sysfs;

pub(super) fn invalid(message: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::InvalidArgs, message)
}

pub(super) fn not_kept(error: &FileError) -> CallError {
    CallError::new(ErrorKind::Failed, format!("nothing was changed: {error}"))
}

fn edit_failed(error: &EditError) -> CallError {
    invalid(error.to_string())
}

impl<S: Sysfs> Blocker<S> {
    /// Decides about one device. The rule that says so, if one does.
    pub fn decide(&mut self, order: Order, now: &Now) -> Result<Option<RuleId>, CallError> {
        let entry = self.numbered(order.device)?;
        let name = entry.name.clone();
        if name.is_controller() {
            return Err(invalid(format!(
                "device {} is a controller: it is on as long as one of its ports is in use",
                order.device
            )));
        }
        if let Identity::Malformed(why) = &entry.identity
            && order.verdict == Verdict::Allow
        {
            let message = format!("device {} can be let in by nobody: {why}", order.device);
            return Err(CallError::new(ErrorKind::Failed, message));
        }
        let port =
            entry.port.as_ref().filter(|port| self.port_list.content.of(port) == PortUse::Unused);
        if let Some(port) = port
            && order.verdict == Verdict::Allow
        {
            return Err(CallError::new(
                ErrorKind::Failed,
                format!("its port is not in use; `holdfast usb ports enable {port}` comes first"),
            ));
        }
        let hold = |until| Hold { verdict: order.verdict, until, was_next: false };
        let (hold, rule) = match order.lasting {
            Lasting::Presence => (Some(hold(None)), None),
            Lasting::For(time) => (Some(hold(Some(now.uptime + time))), None),
            Lasting::Permanent => (None, Some(self.rule_for(&name, order.verdict)?)),
        };
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.hold = hold;
            entry.ruling = None;
        }
        Ok(rule)
    }

    /// Puts a rule for this device before all others; in place of one that differs in nothing but
    /// its target.
    fn rule_for(
        &mut self,
        name: &crate::device_name::DeviceName,
        verdict: Verdict,
    ) -> Result<RuleId, CallError> {
        let device = self.entries.get(name).and_then(Entry::device);
        let device = device.ok_or_else(|| invalid("no rule can be made for a malformed device"))?;
        let detail = RuleDetail { port: device.serial.is_empty(), parent: false };
        let rule = device.to_rule(verdict.into(), detail);
        let is_same = |other: &Rule| {
            let mut other = other.clone();
            other.target = rule.target;
            other == rule
        };
        let same = self.rules.content.rules().find(|(_, other)| is_same(other)).map(|(id, _)| id);
        self.edit_rules(|document, temporary| match same {
            Some(id) => {
                temporary.remove(&id);
                document.replace(id, &rule).map(|()| id)
            }
            None => document.insert(&rule, Position::First),
        })
    }

    /// Lets in the next device that comes and would not be let in.
    pub fn allow_next(&mut self, within: Duration, now: &Now) {
        self.allow_next = Some(now.uptime + within);
    }

    /// Adds a rule.
    pub fn append_rule(
        &mut self,
        rule: &Rule,
        position: Position,
        is_temporary: bool,
    ) -> Result<RuleId, CallError> {
        self.edit_rules(|document, temporary| {
            let id = document.insert(rule, position)?;
            if is_temporary {
                temporary.insert(id);
            }
            Ok(id)
        })
    }

    /// Takes a rule away.
    pub fn remove_rule(&mut self, rule: RuleId) -> Result<(), CallError> {
        self.edit_rules(|document, temporary| {
            temporary.remove(&rule);
            document.remove(rule).map(drop)
        })
    }

    /// Takes these rules in place of all.
    pub fn replace_rules(&mut self, new: Document) -> Result<(), CallError> {
        self.rules_place.save(&new.to_bytes()).map_err(|error| not_kept(&error))?;
        self.take_rules(new, Origin::Device);
        Ok(())
    }

    /// Edits a copy of the rules; it counts once it is kept.
    fn edit_rules<T>(
        &mut self,
        edit: impl FnOnce(&mut Document, &mut BTreeSet<RuleId>) -> Result<T, EditError>,
    ) -> Result<T, CallError> {
        if self.rules.origin == Origin::None && self.rules.error.is_some() {
            return Err(CallError::new(
                ErrorKind::Failed,
                "the rules on this device cannot be read, and an edit would replace them; see \
                 `holdfast usb status`, mend the file or replace all rules",
            ));
        }
        let (mut document, mut temporary) = (self.rules.content.clone(), self.temporary.clone());
        let done = edit(&mut document, &mut temporary).map_err(|error| edit_failed(&error))?;
        let mut kept = document.clone();
        for id in &temporary {
            kept.remove(*id).map_err(|error| edit_failed(&error))?;
        }
        let before = |blocker: &Self| {
            let mut before = blocker.rules.content.clone();
            for id in &blocker.temporary {
                // It is there: the set follows the document.
                let _ = before.remove(*id);
            }
            before.to_bytes()
        };
        let bytes = kept.to_bytes();
        if bytes != before(self) {
            self.rules_place.save(&bytes).map_err(|error| not_kept(&error))?;
            self.rules.origin = Origin::Device;
            self.rules.error = None;
        }
        self.rules.content = document;
        self.temporary = temporary;
        self.use_rules();
        Ok(done)
    }

    /// Puts a document of another numbering in force.
    pub(super) fn take_rules(&mut self, content: Document, origin: Origin) {
        self.rules = Kept { content, origin, error: None };
        self.temporary.clear();
        self.history = History::default().into();
        self.use_rules();
    }

    /// Switches a port on or off, for good. `port` is its topological name, its name in sysfs
    /// (`1-1-port3`), or that of the device that would be plugged into it (`1-1.3`).
    pub fn set_port(&mut self, port: &str, is_enabled: bool) -> Result<(), CallError> {
        let name = self.port_named(port)?;
        if self.port_list.origin == Origin::None && self.port_list.error.is_some() {
            return Err(CallError::new(
                ErrorKind::Failed,
                "the port list on this device cannot be read, and an edit would replace it; see \
                 `holdfast usb status`",
            ));
        }
        let mut list = self.port_list.content.clone();
        let is_used = list.of(&name) != PortUse::Unused;
        if is_used != is_enabled {
            list.set(&name, if is_enabled { PortUse::Used } else { PortUse::Unused });
            self.ports_place.save(&list.to_bytes()).map_err(|error| not_kept(&error))?;
            self.port_list = Kept { content: list, origin: Origin::Device, error: None };
        }
        self.ports_are_due = true;
        self.generation += 1;
        Ok(())
    }

    /// A port by one of its names. One that is not there now must be named by topology.
    fn port_named(&self, text: &str) -> Result<PortName, CallError> {
        let is_meant =
            |port: &holdfast_ipc::usb::PortReport| port.name == text || port.sysfs == text;
        let there = self.ports().into_iter().find(is_meant).map(|port| port.name);
        if let Some(name) = there.as_deref().and_then(PortName::parse) {
            return Ok(name);
        }
        if let Ok(device) = text.parse::<crate::device_name::DeviceName>()
            && let Some(controller) = self.controllers.get(&device.bus())
            && !device.is_controller()
        {
            return Ok(PortName::new(&controller.place, controller.mbit, device.chain()));
        }
        PortName::parse(text).ok_or_else(|| {
            invalid(format!(
                "{text:?} is not a port, as in pci0000:00/0000:00:14.0/hs/1.3; `holdfast usb ports` \
                 shows which there are"
            ))
        })
    }

    /// Value of a parameter.
    pub fn parameter(&self, parameter: Parameter) -> &'static str {
        self.parameters.get(parameter)
    }

    /// Sets a parameter; the value before.
    pub fn set_parameter(
        &mut self,
        parameter: Parameter,
        value: &'static str,
    ) -> Result<&'static str, CallError> {
        let old = self.parameters.get(parameter);
        if !self.parameters.set(parameter, value) {
            let values = parameter.values().join(", ");
            return Err(invalid(format!("{}: {value:?} is none of {values}", parameter.name())));
        }
        self.use_rules();
        let event = UsbEvent::Parameter { name: parameter.name(), old, new: value };
        self.news.events.push(event);
        Ok(old)
    }

    /// Ends what was begun with a policy of the cloud, looks whether somebody else wrote the files,
    /// and takes what is good.
    pub(super) fn reload(&mut self) {
        self.finish_policy();
        if self.rules_place.has_changed() {
            match self.rules_place.reload(parse_rules) {
                Ok((document, origin)) => {
                    self.take_rules(document, origin);
                    self.note_file("usb.rules-load", self.rules_place.file(origin), None);
                }
                Err(error) => {
                    self.rules.error = Some(error.clone());
                    let file = self.rules_place.file(Origin::Device);
                    self.note_file("usb.rules-load", file, Some(error));
                }
            }
        }
        if self.ports_place.has_changed() {
            match self.ports_place.reload(parse_ports) {
                Ok((content, origin)) => {
                    self.port_list = Kept { content, origin, error: None };
                    self.ports_are_due = true;
                    self.note_file("usb.ports-load", self.ports_place.file(origin), None);
                }
                Err(error) => {
                    self.port_list.error = Some(error.clone());
                    let file = self.ports_place.file(Origin::Device);
                    self.note_file("usb.ports-load", file, Some(error));
                }
            }
        }
    }

    fn note_file(&mut self, action: &'static str, file: String, error: Option<String>) {
        if let Some(reason) = &error {
            let (context, object) = ("rules".to_owned(), file.clone());
            let event = UsbEvent::Exception { context, object, reason: reason.clone() };
            self.news.events.push(event);
        }
        self.news.note(action, file, error.map_or(NoteOutcome::Done, NoteOutcome::Failed));
    }
}
