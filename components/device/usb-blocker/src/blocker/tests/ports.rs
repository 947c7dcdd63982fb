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
    bench.kernel.plug("1-4", Gadget::storage("S"));
    bench.on_event();
    assert!(bench.kernel.is_there("1-4") && !bench.usable("1-4"));
    let told = bench.told();
    assert_eq!(told.last().unwrap(), "usb.block denied: its port is not in use");
    bench.look(Scope::Everything);
    assert!(!bench.kernel.is_there("1-4"));
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
