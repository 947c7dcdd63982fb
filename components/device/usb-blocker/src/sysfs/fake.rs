//! A kernel in memory, as far as USB goes: it enumerates what is plugged in where hub and port let
//! it, and keeps what every write did.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use super::{Opened, Sysfs};
use crate::device_name::DeviceName;

/// Something with a USB plug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gadget {
    pub id: (u16, u16),
    pub name: String,
    pub serial: String,
    /// Class, subclass, protocol of each interface.
    pub interfaces: Vec<[u8; 3]>,
    /// Ports, of a hub.
    pub ports: u8,
    /// What it says of itself once it is let in.
    pub turns_into: Option<Box<Gadget>>,
    /// Its descriptors are cut off.
    pub is_malformed: bool,
}

impl Gadget {
    pub fn new(serial: &str, interfaces: &[[u8; 3]]) -> Self {
        Self {
            id: (0x46f4, 1),
            name: "QEMU USB HARDDRIVE".to_owned(),
            serial: serial.to_owned(),
            interfaces: interfaces.to_vec(),
            ports: 0,
            turns_into: None,
            is_malformed: false,
        }
    }

    pub fn storage(serial: &str) -> Self {
        Self::new(serial, &[[8, 6, 0x50]])
    }

    pub fn hub(serial: &str, ports: u8) -> Self {
        Self { id: (0x0409, 0x55aa), ports, ..Self::new(serial, &[[9, 0, 0]]) }
    }

    fn descriptors(&self) -> Vec<u8> {
        let ((vendor, product), class) = (self.id, if self.ports > 0 { 9 } else { 0 });
        let [[v0, v1], [p0, p1]] = [vendor.to_le_bytes(), product.to_le_bytes()];
        let mut bytes = vec![18, 1, 0, 2, class, 0, 0, 64, v0, v1, p0, p1, 0, 1, 1, 2, 3, 1];
        let length = u16::try_from(9 + 9 * self.interfaces.len()).unwrap().to_le_bytes();
        let count = u8::try_from(self.interfaces.len()).unwrap();
        bytes.extend([9, 2, length[0], length[1], count, 1, 0, 0x80, 50]);
        for (number, [class, subclass, protocol]) in (0u8..).zip(&self.interfaces) {
            bytes.extend([9, 4, number, 0, 0, *class, *subclass, *protocol, 0]);
        }
        if self.is_malformed {
            bytes.pop();
        }
        bytes
    }
}

/// A device that was enumerated.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    id: u64,
    pub gadget: Gadget,
    pub is_authorized: bool,
    /// Whether each interface is; none while the device is not.
    pub interfaces: Vec<bool>,
    /// The driver of devices has it.
    is_set_up: bool,
    /// It is free to sleep, as its driver or udev says.
    pub may_sleep: bool,
}

#[derive(Debug)]
pub(crate) struct Kernel {
    next_id: u64,
    pub nodes: BTreeMap<DeviceName, Node>,
    sockets: BTreeMap<DeviceName, Gadget>,
    /// Ports that are off, by what would be plugged into them.
    pub off: BTreeSet<DeviceName>,
    removed: BTreeSet<DeviceName>,
    defaults: BTreeMap<(u32, &'static str), bool>,
    /// Every device that was let in: where, and which serial number.
    pub let_in: Vec<(DeviceName, String)>,
    /// Class of every interface that became usable, and where.
    pub opened: Vec<(DeviceName, u8)>,
    /// Every device that ever was in sysfs.
    pub seen: BTreeSet<(DeviceName, String)>,
    /// Ports that are off find what is plugged in all the same, once: there is no power to switch.
    pub switches_no_power: bool,
    /// And not only once.
    pub finds_again: bool,
    pending: BTreeSet<DeviceName>,
    /// Every write fails.
    pub is_broken: bool,
}

/// Handle of it; clones share one kernel, which outlives the daemon.
#[derive(Clone, Debug)]
pub(crate) struct FakeSysfs(Rc<RefCell<Kernel>>);

impl FakeSysfs {
    /// A machine with one controller, bus 1, of four ports, started with
    /// `usbcore.authorized_default=0`.
    pub fn new() -> Self {
        let root = Node {
            id: 1,
            gadget: Gadget { id: (0x1d6b, 2), ..Gadget::hub("0000:00:04.0", 4) },
            is_authorized: true,
            interfaces: vec![true],
            is_set_up: true,
            may_sleep: true,
        };
        let defaults =
            [((1, "authorized_default"), false), ((1, "interface_authorized_default"), true)];
        Self(Rc::new(RefCell::new(Kernel {
            next_id: 2,
            nodes: [("usb1".parse().unwrap(), root)].into(),
            sockets: BTreeMap::new(),
            off: BTreeSet::new(),
            removed: BTreeSet::new(),
            defaults: defaults.into(),
            let_in: Vec::new(),
            opened: Vec::new(),
            seen: BTreeSet::new(),
            switches_no_power: false,
            finds_again: false,
            pending: BTreeSet::new(),
            is_broken: false,
        })))
    }

    pub fn kernel(&self) -> std::cell::RefMut<'_, Kernel> {
        self.0.borrow_mut()
    }

    pub fn plug(&self, name: &str, gadget: Gadget) {
        let name: DeviceName = name.parse().unwrap();
        self.unplug(&name.to_string());
        self.kernel().pending.insert(name.clone());
        self.kernel().sockets.insert(name, gadget);
        self.enumerate();
    }

    pub fn unplug(&self, name: &str) {
        let name: DeviceName = name.parse().unwrap();
        let mut kernel = self.kernel();
        kernel.sockets.remove(&name);
        kernel.removed.remove(&name);
        kernel.detach(&name);
    }

    /// What the kernel's hub thread does, some time after the events that wake it.
    pub fn enumerate(&self) {
        let mut kernel = self.kernel();
        kernel.set_up_what_was_found();
        let plugged: Vec<_> = kernel.sockets.iter().map(|(n, g)| (n.clone(), g.clone())).collect();
        for (name, gadget) in plugged {
            let hub = kernel.nodes.get(&name.parent().unwrap());
            let reaches = hub.is_some_and(|hub| {
                hub.is_authorized
                    && hub.interfaces == [true]
                    && name.port().unwrap() <= hub.gadget.ports
            });
            let is_there = kernel.nodes.contains_key(&name);
            let is_found =
                kernel.switches_no_power && (kernel.pending.remove(&name) || kernel.finds_again);
            let is_off = kernel.off.contains(&name) && !is_found;
            if !reaches || is_there || is_off || kernel.removed.contains(&name) {
                continue;
            }
            let id = kernel.next_id;
            kernel.next_id += 1;
            kernel.seen.insert((name.clone(), gadget.serial.clone()));
            let is_authorized = kernel.defaults[&(name.bus(), "authorized_default")];
            let interfaces = Vec::new();
            let (is_set_up, may_sleep) = (false, false);
            let node = Node { id, gadget, is_authorized, interfaces, is_set_up, may_sleep };
            kernel.nodes.insert(name, node);
        }
    }

    /// Whether something is of use: authorised, with this interface.
    pub fn is_usable(&self, name: &str, interface: usize) -> bool {
        let kernel = self.kernel();
        let node = kernel.nodes.get(&name.parse().unwrap());
        node.is_some_and(|node| {
            node.is_authorized && node.interfaces.get(interface).copied().unwrap_or(false)
        })
    }

    /// Number of what is at a port.
    pub fn id(&self, name: &str) -> io::Result<u64> {
        let kernel = self.kernel();
        let node = kernel.nodes.get(&name.parse().map_err(io::Error::other)?);
        node.map(|node| node.id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub fn is_there(&self, name: &str) -> bool {
        self.kernel().nodes.contains_key(&name.parse().unwrap())
    }
}

impl Node {
    /// Makes its interfaces; which of them are usable.
    fn configure(&mut self, name: &DeviceName, default: bool) -> Vec<(DeviceName, u8)> {
        self.interfaces = vec![default; self.gadget.interfaces.len()];
        let classes = self.gadget.interfaces.iter().filter(|_| default).map(|[class, ..]| *class);
        classes.map(|class| (name.clone(), class)).collect()
    }

    pub const fn id(&self) -> u64 {
        self.id
    }
}

impl Kernel {
    fn detach(&mut self, name: &DeviceName) {
        let is_below = |other: &DeviceName| {
            other.bus() == name.bus() && other.chain().starts_with(name.chain())
        };
        self.nodes.retain(|other, _| !is_below(other));
    }

    /// The driver of devices takes on what was found before. What was let in already is configured
    /// once more, with all its interfaces.
    fn set_up_what_was_found(&mut self) {
        for (name, node) in self.nodes.iter_mut().filter(|(_, node)| !node.is_set_up) {
            node.is_set_up = true;
            if node.is_authorized {
                let default = self.defaults[&(name.bus(), "interface_authorized_default")];
                self.opened.extend(node.configure(name, default));
            }
        }
    }

    fn name_of(&self, id: u64) -> io::Result<DeviceName> {
        let found = self.nodes.iter().find(|(_, node)| node.id == id);
        found.map(|(name, _)| name.clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn authorize(&mut self, name: &DeviceName, is: bool) {
        let default = self.defaults[&(name.bus(), "interface_authorized_default")];
        let Some(node) = self.nodes.get_mut(name) else { return };
        if node.is_authorized == is {
            return;
        }
        node.is_authorized = is;
        if is {
            self.let_in.push((name.clone(), node.gadget.serial.clone()));
            if let Some(other) = node.gadget.turns_into.take() {
                node.gadget = *other;
            }
            self.opened.extend(node.configure(name, default));
            // Hubs are, once their driver has them.
            node.may_sleep |= node.gadget.ports > 0;
        } else {
            node.interfaces.clear();
            let below: Vec<_> = (1..=node.gadget.ports).map(|port| name.child(port)).collect();
            for child in below {
                self.detach(&child);
            }
        }
    }

    fn port(&self, hub: &DeviceName, path: &str) -> Option<DeviceName> {
        let (_, port) = path.split_once('/')?;
        let number: u8 = port.strip_prefix(&format!("{hub}-port"))?.parse().ok()?;
        let node = &self.nodes[hub];
        let is_there =
            node.is_authorized && node.interfaces == [true] && number <= node.gadget.ports;
        is_there.then(|| hub.child(number))
    }
}

fn interface_number(name: &DeviceName, interface: &str) -> Option<usize> {
    interface.strip_prefix(&format!("{name}:1."))?.parse().ok()
}

fn flag(is: bool) -> Vec<u8> {
    if is { b"1\n".to_vec() } else { b"0\n".to_vec() }
}

impl Sysfs for FakeSysfs {
    type Folder = u64;

    fn names(&self) -> io::Result<Vec<(String, u64)>> {
        let kernel = self.kernel();
        let names = kernel.nodes.iter().map(|(name, node)| (name.to_string(), node.id));
        Ok(names.chain([("1-0:1.0".to_owned(), 0)]).collect())
    }

    fn open(&self, name: &str) -> io::Result<Opened<u64>> {
        let id = self.id(name)?;
        Ok(Opened { folder: id, path: format!("/devices/pci0000:00/0000:00:04.0/{name}") })
    }

    fn is_set_up(&self, folder: &u64) -> io::Result<bool> {
        let kernel = self.kernel();
        Ok(kernel.nodes[&kernel.name_of(*folder)?].is_set_up)
    }

    fn read(&self, folder: &u64, attribute: &str, _: usize) -> io::Result<Vec<u8>> {
        let kernel = self.kernel();
        let name = kernel.name_of(*folder)?;
        let node = &kernel.nodes[&name];
        let gadget = &node.gadget;
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let some = |text: &str| (!text.is_empty()).then(|| text.into()).ok_or_else(missing);
        match attribute {
            "descriptors" => Ok(gadget.descriptors()),
            "idVendor" => Ok(format!("{:04x}\n", gadget.id.0).into()),
            "idProduct" => Ok(format!("{:04x}\n", gadget.id.1).into()),
            "product" => some(&gadget.name),
            "serial" => some(&gadget.serial),
            "speed" => Ok(b"480\n".to_vec()),
            "maxchild" => {
                let ports = if node.is_authorized { gadget.ports } else { 0 };
                Ok(format!("{ports}\n").into())
            }
            "authorized" => Ok(flag(node.is_authorized)[..1].to_vec()),
            "power/control" => Ok(if node.may_sleep { b"auto\n" } else { &b"on\n"[..] }.to_vec()),
            "port/connect_type" if !name.is_controller() => Ok(b"hotplug\n".to_vec()),
            other => {
                if let Some(path) = other.strip_suffix("/disable") {
                    let port = kernel.port(&name, path).ok_or_else(missing)?;
                    return Ok(flag(kernel.off.contains(&port)));
                }
                if let Some(path) = other.strip_suffix("/connect_type") {
                    return kernel
                        .port(&name, path)
                        .map(|_| b"hotplug\n".to_vec())
                        .ok_or_else(missing);
                }
                let interface = other.strip_suffix("/authorized");
                let number = interface.and_then(|interface| interface_number(&name, interface));
                let is = number.and_then(|number| node.interfaces.get(number));
                is.map(|is| flag(*is)[..1].to_vec()).ok_or_else(missing)
            }
        }
    }

    fn write(&self, folder: &u64, attribute: &str, value: &str) -> io::Result<()> {
        let mut kernel = self.kernel();
        let name = kernel.name_of(*folder)?;
        if kernel.is_broken {
            return Err(io::Error::from_raw_os_error(5));
        }
        let is = value == "1";
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        match attribute {
            "authorized" => kernel.authorize(&name, is),
            "power/control" => {
                kernel.nodes.get_mut(&name).ok_or_else(missing)?.may_sleep = value == "auto";
            }
            "remove" => {
                kernel.removed.insert(name.clone());
                kernel.detach(&name);
            }
            "authorized_default" => {
                kernel.defaults.insert((name.bus(), "authorized_default"), is);
            }
            "interface_authorized_default" => {
                kernel.defaults.insert((name.bus(), "interface_authorized_default"), is);
            }
            other => {
                if let Some(path) = other.strip_suffix("/disable") {
                    let port = kernel.port(&name, path).ok_or_else(missing)?;
                    if is {
                        kernel.off.insert(port.clone());
                        kernel.removed.remove(&port);
                        kernel.detach(&port);
                    } else {
                        kernel.off.remove(&port);
                    }
                    return Ok(());
                }
                let interface = other.strip_suffix("/authorized");
                let number = interface.and_then(|interface| interface_number(&name, interface));
                let node = kernel.nodes.get_mut(&name).ok_or_else(missing)?;
                let number = number.filter(|number| *number < node.interfaces.len());
                let number = number.ok_or_else(missing)?;
                let class = node.gadget.interfaces[number][0];
                if is && !std::mem::replace(&mut node.interfaces[number], is) {
                    kernel.opened.push((name, class));
                } else {
                    node.interfaces[number] = is;
                }
            }
        }
        Ok(())
    }

    fn list(&self, folder: &u64, below: &str) -> io::Result<Vec<String>> {
        let kernel = self.kernel();
        let name = kernel.name_of(*folder)?;
        let node = &kernel.nodes[&name];
        let is_hub = node.gadget.ports > 0 && node.is_authorized;
        let hub = if name.is_controller() { "1-0:1.0".to_owned() } else { format!("{name}:1.0") };
        if below.is_empty() {
            let mut names: Vec<String> =
                (0..node.interfaces.len()).map(|number| format!("{name}:1.{number}")).collect();
            if name.is_controller() {
                names = node.is_authorized.then_some(hub).into_iter().collect();
            }
            names.push("power".to_owned());
            return Ok(names);
        }
        if below != hub || !is_hub || node.interfaces != [true] {
            return Ok(Vec::new());
        }
        Ok((1..=node.gadget.ports).map(|port| format!("{name}-port{port}")).collect())
    }

    fn probe(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}
