//! From what is known of a device to what is done with it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use holdfast_ipc::usb::{Presence, UsbEvent};
use holdfast_usb_rules::{Basis, Decision, RuleId, Verdict};

use super::entry::{Entry, Hold, Identity, Ruling, Sleep, Standing};
use super::identity::{self, Whereabouts};
use super::judge::{self, Standard};
use super::news::NoteOutcome;
use super::{Blocker, RETRY, Scope, act, report};
use crate::clock::Now;
use crate::config::Mode;
use crate::device_name::DeviceName;
use crate::rules::Origin;
use crate::sysfs::{Sysfs, is_gone};

/// How long the kernel takes to put a device's link to its port there, at most.
const COMPLETE: Duration = Duration::from_millis(30);
/// How long it takes to set up a device that is not to be used yet, at most.
const SET_UP: Duration = Duration::from_secs(5);
/// How often both are looked for, should no event tell.
const SOON: Duration = Duration::from_millis(5);
/// How soon a device is looked for whose hub is not known yet.
const PARENT: Duration = Duration::from_millis(20);

impl<S: Sysfs> Blocker<S> {
    /// Judges devices where that is due and brings about what was found; first those that wait for
    /// it.
    pub(super) fn settle_all(&mut self, now: &Now, scope: Scope) {
        let mut order: Vec<_> = self
            .entries
            .values()
            .map(|entry| (entry.standing.is_some(), entry.number, entry.name.clone()))
            .collect();
        order.sort_unstable();
        // A verdict rests on devices that came before, so each round settles one more for good.
        for _ in 0..=order.len() {
            let generation = self.generation;
            for (_, _, name) in &order {
                self.settle(name, now, scope);
            }
            if self.generation == generation {
                return;
            }
        }
    }

    fn settle(&mut self, name: &DeviceName, now: &Now, scope: Scope) {
        if self.entries.get(name).is_none_or(|entry| entry.is_removed) || !self.complete(name, now)
        {
            return;
        }
        if let Some(entry) = self.entries.get_mut(name)
            && entry.hold.is_some_and(|hold| hold.is_over(now.uptime))
        {
            entry.hold = None;
            entry.ruling = None;
        }
        let Some(entry) = self.entries.get(name) else { return };
        let is_due = entry.ruling.as_ref().is_none_or(|ruling| {
            ruling.generation != self.generation || ruling.again.is_some_and(|at| at <= now.uptime)
        });
        if is_due {
            self.judge(name, now);
        }
        self.enforce(name, now, scope);
    }

    /// Reads what the device says of itself, if that is not done. Whether it is.
    fn complete(&mut self, name: &DeviceName, now: &Now) -> bool {
        let Some(entry) = self.entries.get(name) else { return false };
        if entry.identity != Identity::Incomplete {
            return true;
        }
        let above = name.parent().map(|parent| self.entries.get(&parent));
        let parent_hash = match above {
            None => None,
            Some(Some(Entry { identity: Identity::Known(parent), .. })) => {
                Some(&parent.device.hash)
            }
            Some(Some(Entry { identity: Identity::Malformed(_), .. })) => {
                self.is_complete(name, Identity::Malformed("its hub is malformed".to_owned()));
                return true;
            }
            // Never judged by what is not known yet.
            Some(_) => {
                self.try_again(PARENT);
                return false;
            }
        };
        let is_new = now.uptime.saturating_sub(entry.arrived) < COMPLETE;
        let connect_type = self.connect_type(name);
        let place = Whereabouts { name, path: &entry.path, parent_hash, connect_type, is_new };
        match identity::read(&self.sysfs, &entry.folder, &place) {
            Ok(Identity::Incomplete) => {
                self.try_again(SOON);
                false
            }
            Ok(identity) => {
                self.is_complete(name, identity);
                true
            }
            Err(error) => {
                self.failed(name, "it cannot be read", &error);
                false
            }
        }
    }

    /// What a port is for, as its hub says: the link from the device to its port comes later.
    fn connect_type(&self, name: &DeviceName) -> Option<&[u8]> {
        let hub = self.entries.get(&name.parent()?)?;
        let port = hub.ports.iter().find(|port| Some(port.number) == name.port())?;
        (!port.connect_type.is_empty()).then_some(port.connect_type.as_bytes())
    }

    fn is_complete(&mut self, name: &DeviceName, identity: Identity) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.identity = identity;
        let presence = if entry.was_present { Presence::Present } else { Presence::Insert };
        let verdict = Verdict::Block;
        let event = UsbEvent::Presence { device: report::facts(entry, verdict), presence, verdict };
        self.news.events.push(event);
    }

    fn judge(&mut self, name: &DeviceName, now: &Now) {
        let Some(entry) = self.entries.get(name) else { return };
        let is_first = entry.standing.is_none() && entry.ruling.is_none();
        let mut ruling = self.with_standard(entry, |standard| judge::judge(entry, standard, now));
        if is_first && !entry.was_present && !name.is_controller() {
            let is_awaited = self.allow_next.is_some_and(|until| until > now.uptime);
            if is_awaited && ruling.verdict != Verdict::Allow && !ruling.is_final {
                self.allow_next = None;
                let hold = Hold { verdict: Verdict::Allow, until: None, was_next: true };
                let Some(entry) = self.entries.get_mut(name) else { return };
                entry.hold = Some(hold);
                return self.judge(name, now);
            }
        }
        if is_first {
            self.remember(&ruling, entry.arrived);
        }
        ruling.generation = self.generation;
        if let Some(entry) = self.entries.get_mut(name) {
            entry.ruling = Some(ruling);
        }
    }

    /// Writes into the history which rule decided, for devices that come later.
    fn remember(&mut self, ruling: &Ruling, arrived: Duration) {
        let rule = |id: RuleId| self.policy.rules().iter().find(|(other, _)| *other == id);
        let basis = match ruling.rule.and_then(rule) {
            Some((id, rule)) => Basis::Rule { id: *id, rule },
            None => Basis::Implicit,
        };
        let decision = Decision { verdict: ruling.verdict, basis, awaits_time: false };
        self.policy.record(&decision, arrived, Arc::make_mut(&mut self.history));
    }

    /// By what a device is judged now.
    pub(super) fn with_standard<T>(
        &self,
        entry: &Entry<S::Folder>,
        look: impl FnOnce(&Standard<'_>) -> T,
    ) -> T {
        let allowed: Vec<_> = if self.policy_looks_around {
            let mut before: Vec<_> = self
                .entries
                .values()
                .filter(|other| {
                    let is_allowed =
                        other.standing.as_ref().is_some_and(|s| s.verdict == Verdict::Allow);
                    other.number < entry.number && is_allowed && !other.is_removed
                })
                .collect();
            before.sort_by_key(|other| other.number);
            before.into_iter().filter_map(Entry::device).collect()
        } else {
            Vec::new()
        };
        let port = entry.port.as_ref();
        look(&Standard {
            policy: &self.policy,
            has_rules: self.rules.origin != Origin::None,
            inserted: self.parameters.inserted,
            generation: self.generation,
            port: match port {
                Some(port) => self.port_list.content.of(port),
                None => self.controller_use(&entry.name),
            },
            is_stormy: self.storms.is_off(&entry.name),
            is_observed: self.mode == Mode::Observe,
            allowed: &allowed,
        })
    }

    /// Brings about what was found, and records it where it is new.
    fn enforce(&mut self, name: &DeviceName, now: &Now, scope: Scope) {
        let Some(entry) = self.entries.get(name) else { return };
        let Some(ruling) = entry.ruling.clone() else { return };
        let is_wanted = self.mode == Mode::Observe || ruling.verdict == Verdict::Allow;
        let is = match act::is_authorized(&self.sysfs, &entry.folder) {
            Ok(is) => is,
            Err(error) => return self.failed(name, "it cannot be read", &error),
        };
        if is_wanted && !is && !now.may_allow {
            self.set_authorized(name, false);
            return self.try_again(RETRY);
        }
        if is_wanted && !is && !name.is_controller() {
            match self.sysfs.is_set_up(&entry.folder) {
                Ok(true) => {}
                Ok(false) => return self.await_kernel(name, now),
                Err(error) => return self.failed(name, "it cannot be read", &error),
            }
        }
        let done = match (is_wanted, is) {
            (true, false) => self.let_in(name, &ruling),
            (true, true) => self.keep_in(name, &ruling, scope),
            (false, true) => act::deauthorize(&self.sysfs, &entry.folder),
            (false, false) => Ok(()),
        };
        if let Err(error) = done {
            // Half of it may be done: what is not wholly let in stays out.
            if is_wanted && let Some(entry) = self.entries.get(name) {
                let _ = act::deauthorize(&self.sysfs, &entry.folder);
            }
            self.set_authorized(name, false);
            return self.failed(name, "it cannot be dealt with", &error);
        }
        self.set_authorized(name, is_wanted);
        if !name.is_controller() {
            self.set_sleep(name, is_wanted);
        }
        if ruling.verdict == Verdict::Reject && !is_wanted && !name.is_controller() {
            self.take_away(name);
        }
        // Letting it in may have shown that it is another one.
        if let Some(ruling) = self.entries.get(name).and_then(|entry| entry.ruling.clone()) {
            self.stands(name, &ruling);
        }
    }

    /// A device that is let in while the kernel still sets up what it found is configured twice, the
    /// second time with all its interfaces (Linux, drivers/usb/core/generic.c). The event that tells
    /// the end of it comes by itself.
    fn await_kernel(&mut self, name: &DeviceName, now: &Now) {
        self.set_authorized(name, false);
        let Some(entry) = self.entries.get(name) else { return };
        if now.uptime.saturating_sub(entry.arrived) < SET_UP {
            return self.try_again(SOON);
        }
        let error = io::Error::from(io::ErrorKind::TimedOut);
        self.failed(name, "the kernel has not set it up", &error);
    }

    /// What is out stays awake, so that its going is noticed. What fails here changes no decision.
    fn set_sleep(&mut self, name: &DeviceName, is_in: bool) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let done = match (is_in, entry.sleep) {
            (true, Sleep::Untouched) => return,
            (true, Sleep::Prevented) => act::let_sleep(&self.sysfs, &entry.folder).map(|()| false),
            (false, _) => act::keep_awake(&self.sysfs, &entry.folder),
        };
        match done {
            Ok(true) => entry.sleep = Sleep::Prevented,
            Ok(false) if is_in => entry.sleep = Sleep::Untouched,
            Ok(false) => {}
            // A kernel without power management has no such attribute either.
            Err(error) if is_gone(&error) => {}
            Err(error) => tracing::debug!("{name}: its sleep cannot be set: {error}"),
        }
    }

    fn set_authorized(&mut self, name: &DeviceName, is_authorized: bool) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.is_authorized = is_authorized;
        }
    }

    fn take_away(&mut self, name: &DeviceName) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        match act::remove(&self.sysfs, &entry.folder) {
            Ok(()) => entry.is_removed = true,
            Err(error) => self.failed(name, "it cannot be taken away", &error),
        }
    }

    fn let_in(&mut self, name: &DeviceName, ruling: &Ruling) -> io::Result<()> {
        let Some(entry) = self.entries.get(name) else { return Ok(()) };
        let Some(controller) = self.entries.get(&name.controller()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let known = match &entry.identity {
            Identity::Known(known) => Some(known),
            Identity::Incomplete | Identity::Malformed(_) => None,
        };
        let interfaces = ruling.interfaces.as_ref().filter(|_| self.mode == Mode::Enforce);
        // Which interfaces are permitted is known of what it is now, and of nothing else.
        let limited = known.map(|known| &**known).zip(interfaces);
        match limited {
            Some(_) => act::authorize_closed(&self.sysfs, &controller.folder, &entry.folder)?,
            None => act::authorize(&self.sysfs, &entry.folder)?,
        }
        // Of a root hub that was off: all its ports are on now.
        self.ports_are_due |= name.is_controller();
        let aligned = interfaces.cloned();
        let Some(known) = known else { return Ok(()) };

        // What the rules were asked about must be what was let in.
        let parent_hash = name.parent().map(|_| &known.device.parent_hash);
        let connect_type = Some(known.device.connect_type.as_bytes());
        let path = &entry.path;
        let place = Whereabouts { name, path, parent_hash, connect_type, is_new: false };
        let now = identity::read(&self.sysfs, &entry.folder, &place)?;
        if now == entry.identity || self.mode == Mode::Observe {
            if let Some((known, policy)) = limited {
                act::align_interfaces(&self.sysfs, entry, known, Some(policy))?;
            }
            if let Some(entry) = self.entries.get_mut(name) {
                entry.aligned = aligned;
            }
            return Ok(());
        }
        act::deauthorize(&self.sysfs, &entry.folder)?;
        let why = "what it says of itself changed when it was let in".to_owned();
        let changed = Ruling {
            verdict: Verdict::Reject,
            reason: format!("malformed: {why}"),
            rule: None,
            interfaces: None,
            is_final: true,
            again: None,
            generation: self.generation,
        };
        if let Some(entry) = self.entries.get_mut(name) {
            entry.identity = Identity::Malformed(why);
            entry.ruling = Some(changed);
        }
        self.set_authorized(name, false);
        self.take_away(name);
        Ok(())
    }

    /// The interfaces of a device that is in: a configuration may have been chosen anew.
    fn keep_in(&mut self, name: &DeviceName, ruling: &Ruling, scope: Scope) -> io::Result<()> {
        let Some(entry) = self.entries.get(name) else { return Ok(()) };
        let policy = ruling.interfaces.as_ref().filter(|_| self.mode == Mode::Enforce);
        let is_due = policy.is_some() || entry.aligned.is_some() || scope == Scope::Everything;
        if let Identity::Known(known) = &entry.identity
            && is_due
            && !name.is_controller()
        {
            act::align_interfaces(&self.sysfs, entry, known, policy)?;
            let policy = policy.cloned();
            if let Some(entry) = self.entries.get_mut(name) {
                entry.aligned = policy;
            }
        }
        Ok(())
    }

    /// Records what was found, if it is something else than before.
    fn stands(&mut self, name: &DeviceName, ruling: &Ruling) {
        let is_observed = self.mode == Mode::Observe;
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.fault = None;
        let standing = Standing { verdict: ruling.verdict, reason: ruling.reason.clone() };
        if entry.standing.as_ref() == Some(&standing) {
            return;
        }
        let old = entry.standing.replace(standing).map(|standing| standing.verdict);
        let action = match ruling.verdict {
            Verdict::Allow => "usb.allow",
            Verdict::Block => "usb.block",
            Verdict::Reject => "usb.reject",
        };
        let observed = if is_observed { "; only observed" } else { "" };
        let target = format!("by {}{observed}: {}", ruling.reason, report::line(entry));
        let outcome = match ruling.verdict {
            Verdict::Allow => NoteOutcome::Done,
            Verdict::Block | Verdict::Reject if is_observed => NoteOutcome::Done,
            Verdict::Block | Verdict::Reject => NoteOutcome::Denied(ruling.reason.clone()),
        };
        let event = UsbEvent::Decided {
            report: report::decision(entry, ruling, is_observed),
            device: report::facts(entry, ruling.verdict),
            old,
            new: ruling.verdict,
            rule: ruling.rule.map(|rule| rule.0),
        };
        self.news.note(action, target, outcome);
        self.news.events.push(event);
        let changes_allowed = (old == Some(Verdict::Allow)) != (ruling.verdict == Verdict::Allow);
        if changes_allowed && self.policy_looks_around {
            self.generation += 1;
        }
    }

    /// Something about a device went wrong; it is told once, and tried again.
    fn failed(&mut self, name: &DeviceName, what: &str, error: &io::Error) {
        if is_gone(error) {
            return;
        }
        self.try_again(RETRY);
        let Some(entry) = self.entries.get_mut(name) else { return };
        let fault = format!("{what}: {error}");
        if entry.fault.as_ref() != Some(&fault) {
            entry.fault = Some(fault.clone());
            let target = report::line(entry);
            self.news.note("usb.device", target.clone(), NoteOutcome::Failed(fault.clone()));
            let event =
                UsbEvent::Exception { context: "device".to_owned(), object: target, reason: fault };
            self.news.events.push(event);
        }
    }
}
