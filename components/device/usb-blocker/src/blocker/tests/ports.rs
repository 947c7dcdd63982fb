//! Ports that are on and off.

use super::*;
use crate::sysfs::fake::Gadget;

#[test]
fn a_device_on_a_port_that_is_off_never_appears() {
    let mut bench = Bench::started("allow");
    bench.kernel.plug("1-4", Gadget::storage("S"));
    bench.on_event();
    assert!(!bench.kernel.is_there("1-4"));
    assert!(bench.kernel.kernel().seen.is_empty());
    let open: Vec<_> = bench.blocker().ports().into_iter().filter(|port| port.enabled).collect();
    assert_eq!(open.len(), 3);
    let status = bench.blocker().status();
    assert_eq!((status.ports.open, status.ports.shut), (3, 1));

    for name in ["usb1-port4", "1-4", "pci0000:00/0000:00:04.0/hs/4"] {
        bench.blocker().set_port(name, true).unwrap();
        bench.on_event();
        assert!(bench.usable("1-4"), "{name}");
        bench.blocker().set_port(name, false).unwrap();
        bench.on_event();
        assert!(!bench.kernel.is_there("1-4"), "{name}");
    }
    bench.blocker().set_port("1-4", true).unwrap();
    bench.kill();
    bench.start();
    assert!(bench.usable("1-4"), "the list is kept");
    let list = fs::read_to_string(bench.file("ports.conf")).unwrap();
    assert!(list.ends_with("hs/1.*\nused pci0000:00/0000:00:04.0/hs/4\n"), "{list}");
}

#[test]
fn the_ports_of_a_hub_are_off_before_anything_on_them_is_asked() {
    let mut bench = Bench::started("allow");
    bench.kernel.plug("1-2.1", Gadget::storage("S"));
    bench.kernel.plug("1-1.1", Gadget::storage("S"));
    bench.kernel.plug("1-2", Gadget::hub("", 2));
    bench.kernel.plug("1-1", Gadget::hub("", 2));
    bench.on_event();
    assert!(bench.usable("1-2") && bench.usable("1-1.1"));
    let seen = bench.kernel.kernel().seen.clone();
    assert!(!seen.iter().any(|(name, _)| name.to_string() == "1-2.1"), "{seen:?}");
}

#[test]
fn a_hub_that_forgets_is_told_again_and_what_it_lets_through_is_blocked() {
    let mut bench = Bench::started("allow");
    bench.kernel.kernel().off.clear();
    bench.told();
    bench.kernel.plug("1-4", Gadget::storage("S"));
    assert!(bench.kernel.is_there("1-4"));
    bench.on_event();
    assert!(!bench.kernel.is_there("1-4"));
    assert_eq!(bench.told(), ["usb.block denied: its port is not in use", "usb.remove"]);
    assert!(bench.kernel.kernel().let_in.is_empty());
}

#[test]
fn what_shows_on_a_port_that_cannot_be_switched_is_taken_away() {
    let mut bench = Bench::started("allow");
    bench.kernel.kernel().switches_no_power = true;
    bench.told();
    bench.kernel.plug("1-4", Gadget::storage("S"));
    assert!(bench.kernel.is_there("1-4"));
    bench.on_event();
    assert!(!bench.kernel.is_there("1-4"));
    assert_eq!(bench.told(), ["usb.block denied: its port is not in use", "usb.remove"]);
    bench.look(Scope::Everything);
    assert!(!bench.kernel.is_there("1-4") && bench.kernel.kernel().let_in.is_empty());
}

#[test]
fn what_is_found_again_and_again_stays_blocked() {
    let mut bench = Bench::started("allow");
    {
        let mut kernel = bench.kernel.kernel();
        (kernel.switches_no_power, kernel.finds_again) = (true, true);
    }
    bench.told();
    bench.kernel.plug("1-4", Gadget::storage("S"));
    for _ in 0..5 {
        bench.on_event();
    }
    assert!(bench.kernel.is_there("1-4") && !bench.usable("1-4"));
    let told = bench.told();
    assert_eq!(told.iter().filter(|note| *note == "usb.remove").count(), 3, "{told:?}");
    bench.on_event();
    assert_eq!(bench.told(), [""; 0]);
}

#[test]
fn a_controller_without_ports_in_use_is_off_and_asks_nobody() {
    let mut bench = Bench::new("allow");
    fs::write(bench.file("image-ports"), "").unwrap();
    bench.kernel.kernel().switches_no_power = true;
    bench.start();
    bench.kernel.plug("1-1", Gadget::storage("S"));
    bench.on_event();
    assert!(bench.kernel.kernel().seen.is_empty());
    let told = bench.told();
    assert_eq!(told[2..], ["usb.block denied: none of its ports is in use"]);
    // The next daemon knows its ports from the file of this boot.
    bench.kill();
    bench.start();
    let status = bench.blocker().status();
    assert_eq!((status.ports.open, status.ports.shut), (0, 4));
    bench.blocker().set_port("usb1-port1", true).unwrap();
    bench.on_event();
    assert!(bench.usable("1-1"));
    bench.kernel.kernel().switches_no_power = false;
    bench.kernel.plug("1-2", Gadget::storage("S"));
    bench.on_event();
    assert!(!bench.kernel.is_there("1-2"), "its other ports are off");
    bench.blocker().set_port("usb1-port1", false).unwrap();
    bench.on_event();
    assert!(!bench.kernel.is_there("1-1") && !bench.usable("usb1"));
}

#[test]
fn a_storm_switches_its_port_off_for_a_while() {
    let mut bench = Bench::new("allow");
    bench.config = Config::parse("[storm]\narrivals = 3\nwithin_s = 10\noff_s = 30").unwrap();
    bench.start();
    bench.told();
    for _ in 0..4 {
        bench.kernel.plug("1-1", Gadget::storage("S"));
        bench.on_event();
    }
    assert!(!bench.kernel.is_there("1-1"));
    let storm = bench.told().into_iter().find(|note| note.starts_with("usb.storm")).unwrap();
    assert!(storm.contains("too many devices"), "{storm}");
    bench.kernel.plug("1-2", Gadget::storage("S"));
    bench.on_event();
    assert!(bench.usable("1-2"), "other ports stay on");
    assert!(bench.wake <= Duration::from_secs(30));
    bench.after(29);
    assert!(!bench.kernel.is_there("1-1"));
    bench.after(1);
    assert!(bench.usable("1-1"));
}
