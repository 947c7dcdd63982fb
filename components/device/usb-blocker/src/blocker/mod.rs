//! The heart: which devices are there, what is to be done with each, and doing it.
//!
//! It is told when to look, not what happened: each time it compares what is with what is to be, so
//! that events that were lost, doubled or late change nothing but the moment.

mod act;
mod cloud;
mod edit;
mod entry;
mod hubs;
mod identity;
mod judge;
mod news;
mod parameters;
mod report;
mod root_hubs;
mod settle;
mod storm;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_ipc::usb::{Presence, UsbEvent};
use holdfast_usb_rules::ports::{MAX_LIST_BYTES, PortList, PortName, PortUse};
use holdfast_usb_rules::{Document, History, MAX_DOCUMENT_BYTES, Policy, RuleId, Verdict};

pub use news::{News, Note, NoteOutcome};

use self::entry::{Draws, Entry, Identity, Sleep};
use self::hubs::Controller;
use self::parameters::{Inserted, Parameters};
use self::root_hubs::RootHubs;
use self::storm::Storms;
use crate::clock::Now;
use crate::config::{Config, Mode};
use crate::device_name::DeviceName;
use crate::policy::KeptPolicy;
use crate::rules::{Kept, Origin, Place};
use crate::sysfs::{Sysfs, is_gone};

/// How often everything is looked at without a cause.
const ROUND: Duration = Duration::from_secs(60);
/// How soon something that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How soon, and how often, a root hub is looked at that has no ports yet.
const HUB: Duration = Duration::from_millis(5);
const HUB_TRIES: u8 = 10;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Devices and whether they are authorised.
    Events,
    /// Ports too, and every device is judged anew.
    Everything,
}

/// Where the daemon's files are.
#[derive(Clone, Debug)]
pub struct Files {
    /// The device's own folder.
    pub state: PathBuf,
    /// Folder of what holds until the next boot.
    pub runtime: PathBuf,
    /// The image's rules.
    pub rules: PathBuf,
    /// The image's port list.
    pub ports: PathBuf,
}

/// Keeps the USB ports.
#[derive(Debug)]
pub struct Blocker<S: Sysfs> {
    sysfs: S,
    mode: Mode,
    rules_place: Place,
    rules: Kept<Document>,
    temporary: BTreeSet<RuleId>,
    policy: Policy,
    policy_looks_around: bool,
    ports_place: Place,
    port_list: Kept<PortList>,
    /// What the cloud says of both.
    cloud: KeptPolicy,
    cloud_fault: Option<String>,
    port_faults: BTreeSet<PortName>,
    root_hubs: RootHubs,
    ports_are_due: bool,
    /// How often what was found on ports that are off was taken away.
    strays: BTreeMap<DeviceName, u8>,
    parameters: Parameters,
    controllers: BTreeMap<u32, Controller>,
    /// How often root hubs were looked at that had no ports yet.
    unready: BTreeMap<u32, u8>,
    entries: BTreeMap<DeviceName, Entry<S::Folder>>,
    next_number: u32,
    history: Arc<History>,
    /// Grows with every change that may change a verdict.
    generation: u64,
    allow_next: Option<Duration>,
    storms: Storms,
    is_started: bool,
    bus_fault: Option<String>,
    retry: Option<Duration>,
    news: News,
}

impl<S: Sysfs> Blocker<S> {
    /// Reads rules and port list; nothing is looked at or written before the first
    /// [`Blocker::reconcile`].
    pub fn new(sysfs: S, config: &Config, files: Files) -> Self {
        let mut rules_place =
            Place::new(&files.state, "rules.conf", files.rules, MAX_DOCUMENT_BYTES);
        let mut ports_place = Place::new(&files.state, "ports.conf", files.ports, MAX_LIST_BYTES);
        let (cloud, cloud_fault) = KeptPolicy::load(&files.state);
        let rules = rules_place.load(parse_rules);
        let port_list = ports_place.load(parse_ports);
        let implicit = config.implicit();
        let mut blocker = Self {
            sysfs,
            mode: config.mode,
            policy: Policy::new(&Document::default(), Verdict::Block),
            policy_looks_around: false,
            rules_place,
            rules,
            temporary: BTreeSet::new(),
            ports_place,
            port_list,
            cloud,
            cloud_fault: None,
            port_faults: BTreeSet::new(),
            root_hubs: RootHubs::open(&files.runtime),
            ports_are_due: true,
            strays: BTreeMap::new(),
            parameters: Parameters { inserted: Inserted::default(), implicit },
            controllers: BTreeMap::new(),
            unready: BTreeMap::new(),
            entries: BTreeMap::new(),
            next_number: 1,
            history: Arc::default(),
            generation: 0,
            allow_next: None,
            storms: Storms::new(config.storm),
            is_started: false,
            bus_fault: None,
            retry: None,
            news: News::default(),
        };
        blocker.use_rules();
        blocker.note_loading();
        if let Some(error) = cloud_fault {
            blocker.note_lost_policy(error);
        }
        blocker
    }

    /// What happened since it was last asked.
    pub fn take_news(&mut self) -> News {
        core::mem::take(&mut self.news)
    }

    /// Brings about what is to be; how long until it must be called at the latest.
    pub fn reconcile(&mut self, now: &Now, scope: Scope) -> Duration {
        self.retry = None;
        self.ports_are_due |= self.storms.take_ended(now.uptime);
        if scope == Scope::Everything {
            self.reload();
            self.generation += 1;
        }
        match self.sysfs.names() {
            Ok(names) => {
                self.bus_fault = None;
                let devices = names.iter().filter_map(|(name, id)| Some((name.parse().ok()?, *id)));
                let devices = devices.collect();
                self.forget_gone(&devices);
                for (name, id) in devices {
                    self.notice(name, id, now);
                }
            }
            Err(error) => self.bus_failed(&error),
        }
        // A port that is to be off is off before anything on it is let in. Otherwise devices wait no
        // longer than they must.
        if scope == Scope::Everything || self.ports_are_due {
            self.set_ports(scope);
        }
        self.settle_all(now, scope);
        // Of hubs that are new or were let in now.
        self.set_ports(Scope::Events);
        self.is_started = true;
        self.until_next(now)
    }

    fn until_next(&self, now: &Now) -> Duration {
        let rulings = self.entries.values().filter_map(|entry| entry.ruling.as_ref()?.again);
        let edges = rulings.chain(self.storms.next_end());
        let waits = edges.map(|at| at.saturating_sub(now.uptime)).chain(self.retry);
        waits.min().map_or(ROUND, |wait| wait.min(ROUND))
    }

    fn try_again(&mut self, wait: Duration) {
        self.retry = Some(self.retry.map_or(wait, |retry| retry.min(wait)));
    }

    fn bus_failed(&mut self, error: &std::io::Error) {
        let reason = error.to_string();
        if self.bus_fault.as_ref() != Some(&reason) {
            let outcome = NoteOutcome::Failed(reason.clone());
            self.news.note("usb.scan", "the USB devices".to_owned(), outcome);
            self.bus_fault = Some(reason);
        }
        self.try_again(RETRY);
    }

    fn forget_gone(&mut self, devices: &BTreeMap<DeviceName, u64>) {
        let is_gone =
            |(name, entry): &(&DeviceName, &Entry<_>)| devices.get(*name) != Some(&entry.link_id);
        let gone = self.entries.iter().filter(is_gone);
        let gone: Vec<_> = gone.map(|(name, _)| name.clone()).collect();
        for name in gone {
            let Some(entry) = self.entries.remove(&name) else { continue };
            let Some(standing) = &entry.standing else { continue };
            if standing.verdict == Verdict::Allow && self.policy_looks_around {
                self.generation += 1;
            }
            let verdict = standing.verdict;
            self.news.note("usb.remove", report::line(&entry), NoteOutcome::Done);
            let device = report::facts(&entry, verdict);
            let event = UsbEvent::Presence { device, presence: Presence::Remove, verdict };
            self.news.events.push(event);
        }
    }

    fn notice(&mut self, name: DeviceName, id: u64, now: &Now) {
        if self.entries.contains_key(&name) {
            return;
        }
        let opened = match self.sysfs.open(&name.to_string()) {
            Ok(opened) => opened,
            Err(error) if is_gone(&error) => return,
            Err(error) => return self.bus_failed(&error),
        };
        let port = if name.is_controller() {
            match self.adopt(&name, &opened) {
                Ok(true) => {}
                Ok(false) => return self.try_again(HUB),
                Err(error) if is_gone(&error) => return,
                Err(error) => return self.bus_failed(&error),
            }
            None
        } else {
            // The root hub comes first, in the list too.
            let Some(controller) = self.controllers.get(&name.bus()) else {
                return self.try_again(RETRY);
            };
            Some(PortName::new(&controller.place, controller.mbit, name.chain()))
        };
        if self.is_started && port.is_some() && self.mode == Mode::Enforce {
            self.count_arrival(&name, port.as_ref(), now);
        }
        let controller = self.controllers.get(&name.bus()).filter(|_| name.is_controller());
        let ports = controller.map(|one| self.remembered_ports(one)).unwrap_or_default();
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        let entry = Entry {
            number,
            name: name.clone(),
            folder: opened.folder,
            link_id: id,
            path: opened.path,
            port,
            arrived: now.uptime,
            was_present: !self.is_started,
            history: Arc::clone(&self.history),
            draws: Draws::default(),
            identity: Identity::Incomplete,
            hold: None,
            ruling: None,
            aligned: None,
            standing: None,
            is_authorized: false,
            sleep: Sleep::Untouched,
            is_removed: false,
            fault: None,
            ports,
        };
        self.entries.insert(name, entry);
    }

    /// Takes a controller on, once its root hub says how many ports it has; false before. One without
    /// ports in use is switched off first of all: its hub waits 100 ms until it asks what is plugged
    /// in (USB 2.0, 7.1.7.3).
    fn adopt(
        &mut self,
        name: &DeviceName,
        opened: &crate::sysfs::Opened<S::Folder>,
    ) -> std::io::Result<bool> {
        let number = |attribute| -> std::io::Result<u32> {
            let text = self.sysfs.read(&opened.folder, attribute, 16)?;
            Ok(String::from_utf8_lossy(&text).trim().parse().unwrap_or(0))
        };
        let (mbit, ports) = (number("speed")?, number("maxchild")?);
        let tries = self.unready.entry(name.bus()).or_default();
        if ports == 0 && *tries < HUB_TRIES && act::is_authorized(&self.sysfs, &opened.folder)? {
            *tries += 1;
            return Ok(false);
        }
        self.unready.remove(&name.bus());
        let controller = Controller { place: identity::controller_place(opened).to_owned(), mbit };
        self.controllers.insert(name.bus(), controller.clone());
        if self.mode == Mode::Enforce && self.controller_use(name) == PortUse::Unused {
            act::deauthorize(&self.sysfs, &opened.folder)?;
        }
        act::adopt(&self.sysfs, &opened.folder)?;
        // One that is off says 0.
        if let Ok(count @ 1..) = u8::try_from(ports)
            && let Err(error) = self.root_hubs.remember(&controller, count)
        {
            tracing::warn!("the number of ports of {name} is not kept: {error}");
        }
        Ok(true)
    }

    fn count_arrival(&mut self, name: &DeviceName, port: Option<&PortName>, now: &Now) {
        if self.storms.arrived(name, now.uptime) {
            self.ports_are_due = true;
            self.generation += 1;
            let port = port.map(ToString::to_string).unwrap_or_default();
            let reason = "too many devices came on it; it is off for a while".to_owned();
            self.news.note("usb.storm", port, NoteOutcome::Denied(reason));
        }
    }

    /// Puts the rules of the document in force.
    fn use_rules(&mut self) {
        let implicit = match self.rules.origin {
            Origin::None => Verdict::Block,
            _ => self.parameters.implicit,
        };
        self.policy = Policy::new(&self.rules.content, implicit);
        self.policy_looks_around = judge::looks_around(&self.policy);
        let history = Arc::make_mut(&mut self.history);
        history.retain(|rule| self.rules.content.get(rule).is_some());
        self.generation += 1;
    }
}

fn parse_rules(bytes: &[u8]) -> Result<Document, String> {
    Document::parse(bytes).map_err(|errors| errors.to_string())
}

fn parse_ports(bytes: &[u8]) -> Result<PortList, String> {
    PortList::parse(bytes).map_err(|error| error.to_string())
}
