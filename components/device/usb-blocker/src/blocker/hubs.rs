//! Switching ports (Linux, Documentation/ABI/testing/sysfs-bus-usb, `<hub>-port<X>/disable`).

use std::io;

use holdfast_usb_rules::ports::{PortName, PortUse};

use super::entry::{Entry, HubPort};
use super::news::NoteOutcome;
use super::{Blocker, Scope};
use crate::config::Mode;
use crate::device_name::DeviceName;
use crate::sysfs::{Sysfs, is_gone};

/// How often what is found on a port that is off is taken away. A hub that switches no power may
/// find it again each time: then it stays, blocked.
const STRAY_TRIES: u8 = 3;
/// One word and its line break.
const MAX_WORD: usize = 64;

/// A controller's place in the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Controller {
    pub place: String,
    pub mbit: u32,
}

impl<S: Sysfs> Blocker<S> {
    /// Switches the ports of hubs that are new, of all hubs where the list has changed, and looks
    /// at all of them once in a while: a hub may have forgotten.
    pub(super) fn set_ports(&mut self, scope: Scope) {
        let all = scope == Scope::Everything || core::mem::take(&mut self.ports_are_due);
        if scope == Scope::Everything {
            let entries = &self.entries;
            self.strays.retain(|name, _| entries.contains_key(name));
        }
        let hubs = self.entries.iter().filter(|(_, entry)| {
            let has_ports = entry.name.is_controller() || entry.is_hub();
            has_ports && (all || entry.ports.is_empty() || self.has_stray(entry))
        });
        let names: Vec<_> = hubs.map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(controller) = self.controllers.get(&name.bus()).cloned() else { continue };
            let Some(entry) = self.entries.get(&name) else { continue };
            match find_ports(&self.sysfs, entry, &controller) {
                // A root hub that is off shows none.
                Ok(ports) if ports.is_empty() => {}
                Ok(ports) => self.set_ports_of(&name, ports),
                Err(error) if is_gone(&error) => {}
                Err(error) => tracing::warn!("{name}: its ports cannot be read: {error}"),
            }
        }
    }

    fn set_ports_of(&mut self, hub: &DeviceName, mut ports: Vec<HubPort>) {
        for port in &mut ports {
            let wanted = self.is_wanted(hub, port);
            // Where a controller switches no power, what is plugged in is found all the same:
            // switching it off once more takes it away.
            let is_stray = !wanted && self.is_stray(&hub.child(port.number));
            if port.is_enabled == wanted && !is_stray {
                continue;
            }
            let Some(entry) = self.entries.get(hub) else { return };
            let value = if wanted { "0" } else { "1" };
            match self.sysfs.write(&entry.folder, &format!("{}/disable", port.folder), value) {
                Ok(()) => {
                    port.is_enabled = wanted;
                    if is_stray {
                        *self.strays.entry(hub.child(port.number)).or_default() += 1;
                    }
                }
                Err(error) if is_gone(&error) => return,
                Err(error) => self.port_failed(&port.name, wanted, &error),
            }
        }
        if let Some(entry) = self.entries.get_mut(hub) {
            entry.ports = ports;
        }
    }

    fn is_wanted(&self, hub: &DeviceName, port: &HubPort) -> bool {
        let is_listed = self.port_list.content.of(&port.name) != PortUse::Unused;
        let calm = !self.storms.is_off(&hub.child(port.number));
        self.mode == Mode::Observe || (is_listed && calm)
    }

    /// Whether this is to be taken away: it was judged, and taking it away may help.
    fn is_stray(&self, name: &DeviceName) -> bool {
        let is_there = |entry: &Entry<_>| entry.standing.is_some() && !entry.is_removed;
        let tries = self.strays.get(name).copied().unwrap_or(0);
        tries < STRAY_TRIES && self.entries.get(name).is_some_and(is_there)
    }

    /// Whether there is something at a port that is off.
    fn has_stray(&self, hub: &Entry<S::Folder>) -> bool {
        hub.ports.iter().any(|port| {
            self.is_stray(&hub.name.child(port.number)) && !self.is_wanted(&hub.name, port)
        })
    }

    /// Whether any port of a root hub is in use; one without is off as a whole, so that nothing
    /// that is plugged in is even asked what it is.
    pub(super) fn controller_use(&self, name: &DeviceName) -> PortUse {
        let Some(Controller { place, mbit }) = self.controllers.get(&name.bus()) else {
            return PortUse::Unused;
        };
        let mut ports = (1..=u8::MAX).map(|port| PortName::new(place, *mbit, &[port]));
        let is_used = |port: PortName| self.port_list.content.of(&port) != PortUse::Unused;
        if ports.any(is_used) { PortUse::Used } else { PortUse::Unused }
    }

    /// The ports of a root hub that is off, as far as they are known.
    pub(super) fn remembered_ports(&self, controller: &Controller) -> Vec<HubPort> {
        let count = self.root_hubs.count(controller);
        let port = |number| HubPort {
            number,
            name: PortName::new(&controller.place, controller.mbit, &[number]),
            folder: String::new(),
            is_enabled: false,
            connect_type: String::new(),
        };
        (1..=count).map(port).collect()
    }

    fn port_failed(&mut self, port: &PortName, wanted: bool, error: &io::Error) {
        if self.port_faults.insert(port.clone()) {
            let act = if wanted { "on" } else { "off" };
            let reason = format!("it cannot be switched {act}: {error}");
            self.news.note("usb.port", port.to_string(), NoteOutcome::Failed(reason));
        }
    }
}

fn find_ports<S: Sysfs>(
    sysfs: &S,
    hub: &Entry<S::Folder>,
    controller: &Controller,
) -> io::Result<Vec<HubPort>> {
    let start = if hub.name.is_controller() {
        format!("{}-0:", hub.name.bus())
    } else {
        format!("{}:", hub.name)
    };
    let mut ports = Vec::new();
    for interface in
        sysfs.list(&hub.folder, "")?.into_iter().filter(|name| name.starts_with(&start))
    {
        let before = format!("{}-port", hub.name);
        for name in sysfs.list(&hub.folder, &interface)? {
            let number = name.strip_prefix(&before).and_then(|number| number.parse::<u8>().ok());
            if let Some(number) = number.filter(|number| *number > 0) {
                let folder = format!("{interface}/{name}");
                let read = |attribute| {
                    let text =
                        sysfs.read(&hub.folder, &format!("{folder}/{attribute}"), MAX_WORD)?;
                    Ok::<_, io::Error>(String::from_utf8_lossy(&text).trim_end().to_owned())
                };
                ports.push(HubPort {
                    number,
                    name: PortName::new(
                        &controller.place,
                        controller.mbit,
                        hub.name.child(number).chain(),
                    ),
                    is_enabled: read("disable")? != "1",
                    connect_type: read("connect_type").unwrap_or_default(),
                    folder,
                });
            }
        }
    }
    ports.sort_by_key(|port| port.number);
    Ok(ports)
}
