//! Whatever happens in whatever order, no device is let in that the rules do not let in.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use holdfast_usb_rules::{Document, Position};
use proptest::prelude::*;

use super::*;
use crate::device_name::DeviceName;
use crate::sysfs::Sysfs as _;
use crate::sysfs::fake::Gadget;

const PORTS: [&str; 6] = ["1-1", "1-2", "1-3", "1-4", "1-1.1", "1-1.2"];
const SERIALS: [&str; 4] = ["A", "B", "C", "NIGHT"];
/// A class that no rule permits.
const KEYBOARD: u8 = 3;

#[derive(Clone, Debug)]
enum Step {
    Plug(usize, usize),
    PlugHub,
    PlugTurncoat(usize, usize),
    /// A memory stick that is a keyboard too.
    PlugComposite(usize, usize),
    Unplug(usize),
    /// The kernel goes on without the daemon being told.
    Enumerate,
    Look,
    LookAtAll,
    Kill,
    Start,
    /// Exactly these serial numbers are allowed from now on.
    Rules(u8),
    /// As a file that somebody wrote.
    RulesFile(u8),
    BadRulesFile,
    Port(usize, bool),
    Clock(u32),
    NoClock,
    ByHand(usize),
    Order(usize, bool),
    Hours(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (port, serial) = (0..PORTS.len(), 0..SERIALS.len());
    prop_oneof![
        6 => (port.clone(), serial.clone()).prop_map(|(p, s)| Step::Plug(p, s)),
        2 => Just(Step::PlugHub),
        1 => (port.clone(), serial.clone()).prop_map(|(p, s)| Step::PlugTurncoat(p, s)),
        2 => (port.clone(), serial).prop_map(|(p, s)| Step::PlugComposite(p, s)),
        2 => port.clone().prop_map(Step::Unplug),
        2 => Just(Step::Enumerate),
        6 => Just(Step::Look),
        2 => Just(Step::LookAtAll),
        1 => Just(Step::Kill),
        2 => Just(Step::Start),
        2 => (0u8..16).prop_map(Step::Rules),
        1 => (0u8..16).prop_map(Step::RulesFile),
        1 => Just(Step::BadRulesFile),
        2 => (port.clone(), any::<bool>()).prop_map(|(p, on)| Step::Port(p, on)),
        1 => (0u32..86_400).prop_map(Step::Clock),
        1 => Just(Step::NoClock),
        1 => port.clone().prop_map(Step::ByHand),
        1 => (port, any::<bool>()).prop_map(|(p, allow)| Step::Order(p, allow)),
        1 => (1u64..100).prop_map(Step::Hours),
    ]
}

/// What is allowed, kept apart from the daemon.
#[derive(Debug)]
struct Model {
    /// By the rules on the disk that were good last.
    rules: u8,
    ports: BTreeSet<&'static str>,
    /// Orders that hold, by the number of the folder.
    orders: Vec<(u64, bool)>,
}

impl Model {
    fn allows(&self, name: &DeviceName, id: u64, gadget: &Gadget, time: Option<TimeOfDay>) -> bool {
        let name = name.to_string();
        if !self.ports.contains(name.as_str()) {
            return false;
        }
        if let Some((_, allow)) = self.orders.iter().rev().find(|(other, _)| *other == id) {
            return *allow;
        }
        self.rules_allow(&gadget.serial, time)
    }

    /// A hub has no serial number.
    fn rules_allow(&self, serial: &str, time: Option<TimeOfDay>) -> bool {
        let Some(index) = SERIALS.iter().position(|other| *other == serial) else { return true };
        let is_night =
            time.is_some_and(|time| time.seconds() >= 22 * 3600 || time.seconds() <= 6 * 3600);
        self.rules & (1 << index) != 0 && (serial != "NIGHT" || is_night)
    }
}

fn policy(rules: u8) -> String {
    let mut text = "allow with-interface 09:00:00\n".to_owned();
    for (index, serial) in SERIALS.iter().enumerate().filter(|(index, _)| rules & (1 << index) != 0)
    {
        let window = if index == 3 { " if localtime(22:00-06:00)" } else { "" };
        let keyless = "interface-policy block { allow 08:*:* }";
        let _ = writeln!(text, "allow serial \"{serial}\"{window} {keyless}");
    }
    text
}

struct Game {
    bench: Bench,
    model: Model,
}

impl Game {
    fn new() -> Self {
        let bench = Bench::started(&policy(0));
        let ports = ["1-1", "1-2", "1-3", "1-1.1", "1-1.2"].into();
        let model = Model { rules: 0, ports, orders: Vec::new() };
        Self { bench, model }
    }

    fn play(&mut self, step: &Step) {
        let bench = &mut self.bench;
        match step {
            Step::Plug(port, serial) => {
                bench.kernel.plug(PORTS[*port], Gadget::storage(SERIALS[*serial]));
            }
            Step::PlugHub => bench.kernel.plug("1-1", Gadget::hub("", 2)),
            Step::PlugTurncoat(port, serial) => {
                let keyboard = Gadget::new(SERIALS[*serial], &[[KEYBOARD, 1, 1]]);
                let storage = Gadget::storage(SERIALS[*serial]);
                let turncoat = Gadget { turns_into: Some(Box::new(keyboard)), ..storage };
                bench.kernel.plug(PORTS[*port], turncoat);
            }
            Step::PlugComposite(port, serial) => {
                let both = Gadget::new(SERIALS[*serial], &[[8, 6, 0x50], [KEYBOARD, 1, 1]]);
                bench.kernel.plug(PORTS[*port], both);
            }
            Step::Unplug(port) => bench.kernel.unplug(PORTS[*port]),
            Step::Enumerate => bench.kernel.enumerate(),
            Step::Look => bench.on_event(),
            Step::LookAtAll => bench.look(Scope::Everything),
            Step::Kill => {
                bench.kill();
                self.model.orders.clear();
            }
            Step::Start if bench.blocker.is_none() => bench.start(),
            Step::Rules(rules) if bench.blocker.is_some() => self.change_rules(*rules),
            Step::Start | Step::Rules(_) => {}
            Step::RulesFile(rules) => {
                fs::write(bench.file("rules.conf"), policy(*rules)).unwrap();
                self.model.rules = *rules;
                bench.look(Scope::Everything);
            }
            Step::BadRulesFile => {
                if bench.blocker.is_some() {
                    fs::write(bench.file("rules.conf"), "allow\nallow allow\n").unwrap();
                    bench.look(Scope::Everything);
                }
            }
            Step::Port(port, is_on) => self.switch(PORTS[*port], *is_on),
            Step::Clock(seconds) => {
                bench.now.local_time = TimeOfDay::from_seconds(*seconds);
                bench.look(Scope::Everything);
            }
            Step::NoClock => {
                bench.now.local_time = None;
                bench.look(Scope::Everything);
            }
            Step::ByHand(port) => {
                let name: DeviceName = PORTS[*port].parse().unwrap();
                let node = bench.kernel.kernel().nodes.get(&name).cloned();
                // One that turns now was never seen as what it was.
                if let Some(node) = node.filter(|node| node.gadget.turns_into.is_none()) {
                    bench.kernel.write(&node.id(), "authorized", "1").unwrap();
                    bench.kernel.kernel().let_in.pop();
                    bench.kernel.kernel().opened.clear();
                }
            }
            Step::Order(port, allow) => self.order(PORTS[*port], *allow),
            Step::Hours(hours) => bench.after(hours * 3600),
        }
    }

    fn change_rules(&mut self, rules: u8) {
        let document = Document::parse(policy(rules).as_bytes()).unwrap();
        self.bench.blocker().replace_rules(document).unwrap();
        self.model.rules = rules;
        // An edit that changes nothing must change nothing.
        let rule = "block serial \"NONE\"".parse().unwrap();
        let id = self
            .bench
            .blocker()
            .append_rule(&rule, Position::First, rules.is_multiple_of(2))
            .unwrap();
        self.bench.blocker().remove_rule(id).unwrap();
        self.bench.on_event();
    }

    fn switch(&mut self, port: &'static str, is_on: bool) {
        if self.bench.blocker.is_none() {
            return;
        }
        self.bench.blocker().set_port(port, is_on).unwrap();
        if is_on {
            self.model.ports.insert(port);
        } else {
            self.model.ports.remove(port);
        }
        self.bench.on_event();
    }

    fn order(&mut self, port: &'static str, allow: bool) {
        let Some(blocker) = &mut self.bench.blocker else { return };
        let now = self.bench.now;
        let Some(device) = blocker.devices(&now).into_iter().find(|d| d.device == port) else {
            return;
        };
        let verdict = if allow { Verdict::Allow } else { Verdict::Block };
        let lasting = Lasting::Presence;
        let known = blocker.numbered(device.id).unwrap().link_id;
        if blocker.decide(Order { device: device.id, verdict, lasting }, &now).is_ok() {
            // It counts for the device that was there when it was last looked.
            self.model.orders.push((known, allow));
        }
        self.bench.on_event();
    }

    /// Each device that was let in since the last check was allowed; none is in that is not. Rules,
    /// ports and time change at the end of a step's own looks only, so this sees every write.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let mut kernel = self.bench.kernel.kernel();
        let let_in = kernel.let_in.split_off(0);
        for (name, serial) in let_in.iter().filter(|(name, _)| !name.is_controller()) {
            let port = name.to_string();
            let is_open = self.model.ports.contains(port.as_str());
            prop_assert!(is_open, "{port} ({serial}) was let in on a port that is off");
            let ordered = self.model.orders.iter().any(|(_, allow)| *allow);
            let by_rules = self.model.rules_allow(serial, self.bench.now.local_time);
            prop_assert!(ordered || by_rules, "{port} ({serial}) was let in, {:?}", self.model);
        }
        // An order is for the whole device.
        let ordered = self.model.orders.iter().any(|(_, allow)| *allow);
        for (name, class) in kernel.opened.split_off(0) {
            prop_assert!(ordered || class != KEYBOARD, "{name} typed, {:?}", self.model);
        }
        if self.bench.blocker.is_none() {
            return Ok(());
        }
        for (name, node) in &kernel.nodes {
            if name.is_controller() {
                continue;
            }
            let allowed =
                self.model.allows(name, node.id(), &node.gadget, self.bench.now.local_time);
            let is_turncoat = node.gadget.turns_into.is_some();
            if node.is_authorized {
                prop_assert!(allowed, "{name} is in: {node:?}, {:?}", self.model);
                let is_keyboard = node.gadget.interfaces == [[KEYBOARD, 1, 1]];
                prop_assert!(!is_keyboard, "a turncoat is in: {node:?}");
            } else if allowed && !is_turncoat {
                prop_assert!(false, "{name} is out: {node:?}, {:?}", self.model);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_in_against_the_rules(steps in proptest::collection::vec(step(), 1..60)) {
        let mut game = Game::new();
        for step in &steps {
            game.play(step);
            // What the kernel did meanwhile is judged at the next event, which every change makes.
            game.bench.on_event();
            game.check()?;
        }
    }
}
