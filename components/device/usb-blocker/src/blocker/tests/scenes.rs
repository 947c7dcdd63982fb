//! What comes, and what becomes of it.

use super::*;
use crate::device_name::DeviceName;
use crate::sysfs::Sysfs as _;
use crate::sysfs::fake::Gadget;

#[test]
fn rules_let_in_and_nothing_else() {
    let rules = "reject serial \"BAD\"\nallow serial \"GOOD\" label \"ours\"\n";
    let mut bench = Bench::started(rules);
    let loaded = ["usb.rules-load", "usb.ports-load", "usb.allow"];
    assert_eq!(bench.told(), loaded, "the controller is let in");
    for (port, serial) in [("1-1", "GOOD"), ("1-2", "OTHER"), ("1-3", "BAD")] {
        bench.kernel.plug(port, Gadget::storage(serial));
    }
    bench.on_event();
    assert!(bench.usable("1-1") && !bench.usable("1-2"));
    assert!(bench.kernel.is_there("1-2") && !bench.kernel.is_there("1-3"));
    let by = bench.notes.iter().map(|note| note.target.clone()).next().unwrap();
    assert!(
        by.starts_with(
            "by rule 2 (label \"ours\"): 1-1 (pci0000:00/0000:00:04.0/hs/1): device id 46f4:0001 \
             serial \"GOOD\" name \"QEMU USB HARDDRIVE\" hash \""
        ),
        "{by}"
    );
    let expected = ["usb.allow", "usb.block denied: implicit", "usb.reject denied: rule 1"];
    assert_eq!(bench.told()[..3], expected);
    assert_eq!(bench.kernel.kernel().let_in.len(), 1);
    bench.on_event();
    assert_eq!(bench.told(), [""; 0], "a decision is recorded once");

    bench.kernel.unplug("1-1");
    bench.on_event();
    assert_eq!(bench.told(), ["usb.remove"]);
}

#[test]
fn the_same_device_at_another_port_is_another_question() {
    let mut bench = Bench::started("allow serial \"S\" via-port \"1-1\"");
    bench.kernel.plug("1-1", Gadget::storage("S"));
    bench.kernel.plug("1-2", Gadget::storage("S"));
    bench.on_event();
    assert!(bench.usable("1-1") && !bench.usable("1-2"));
}

#[test]
fn another_device_in_the_same_moment_is_not_the_first_one() {
    let mut bench = Bench::started("allow serial \"GOOD\"");
    bench.kernel.plug("1-1", Gadget::storage("GOOD"));
    bench.on_event();
    assert!(bench.usable("1-1"));
    bench.told();
    // Between two looks; the folder has the same name.
    bench.kernel.plug("1-1", Gadget::storage("EVIL"));
    bench.on_event();
    assert!(!bench.usable("1-1"));
    assert_eq!(bench.told(), ["usb.remove", "usb.block denied: implicit"]);
}

#[test]
fn a_device_that_changes_when_it_is_let_in_is_taken_away() {
    let mut bench = Bench::started("allow with-interface 08:06:50");
    let keyboard = Gadget::new("S", &[[3, 1, 1]]);
    let turncoat = Gadget { turns_into: Some(Box::new(keyboard)), ..Gadget::storage("S") };
    bench.told();
    bench.kernel.plug("1-1", turncoat);
    bench.on_event();
    assert!(!bench.kernel.is_there("1-1"));
    let told = bench.told();
    assert!(told[0].starts_with("usb.reject denied: malformed: what it says"), "{told:?}");
}

#[test]
fn malformed_descriptors_are_rejected_whatever_the_rules_say() {
    let mut bench = Bench::started("allow");
    bench.told();
    bench.kernel.plug("1-1", Gadget { is_malformed: true, ..Gadget::storage("S") });
    bench.on_event();
    assert!(!bench.kernel.is_there("1-1"));
    assert!(bench.told()[0].starts_with("usb.reject denied: malformed: its descriptors"));
}

#[test]
fn single_interfaces_of_a_composite_device() {
    let rules = "allow serial \"C\" interface-policy block { allow 08:*:* }";
    let mut bench = Bench::started(rules);
    let composite = Gadget::new("C", &[[8, 6, 0x50], [3, 1, 1]]);
    bench.kernel.plug("1-1", composite.clone());
    bench.on_event();
    assert!(bench.kernel.is_usable("1-1", 0) && !bench.kernel.is_usable("1-1", 1));

    // Somebody opens the other one by hand.
    bench.kernel.kernel().nodes.get_mut(&"1-1".parse().unwrap()).unwrap().interfaces[1] = true;
    bench.on_event();
    assert!(!bench.kernel.is_usable("1-1", 1));

    // Without the policy all of it is let in, and what others plug in is whole.
    let rule = "allow serial \"C\"".parse().unwrap();
    bench.blocker().append_rule(&rule, holdfast_usb_rules::Position::First, false).unwrap();
    bench.on_event();
    assert!(bench.kernel.is_usable("1-1", 0) && bench.kernel.is_usable("1-1", 1));
}

#[test]
fn a_device_is_let_in_once_the_kernel_has_set_it_up() {
    let rules = "allow serial \"C\" interface-policy block { allow 08:*:* }";
    let mut bench = Bench::started(rules);
    bench.told();
    bench.kernel.plug("1-1", Gadget::new("C", &[[8, 6, 0x50], [3, 1, 1]]));
    // Let in now it would be configured twice, with its keyboard.
    let now = bench.now;
    let wait = bench.blocker().reconcile(&now, Scope::Events);
    assert!(bench.kernel.kernel().let_in.is_empty());
    assert!(wait < Duration::from_millis(10), "the kernel's event may be lost: {wait:?}");
    bench.on_event();
    assert!(bench.kernel.is_usable("1-1", 0) && !bench.kernel.is_usable("1-1", 1));
}

#[test]
fn a_device_that_the_kernel_never_sets_up_stays_out_and_is_told_once() {
    let mut bench = Bench::started("allow serial \"S\"");
    bench.told();
    bench.kernel.plug("1-1", Gadget::storage("S"));
    for seconds in [0, 3, 3, 60] {
        bench.now.uptime += Duration::from_secs(seconds);
        let now = bench.now;
        bench.blocker().reconcile(&now, Scope::Events);
        bench.notes.extend(bench.blocker.as_mut().unwrap().take_news().notes);
    }
    assert!(!bench.usable("1-1"));
    assert_eq!(bench.told(), ["usb.device failed: the kernel has not set it up: timed out"]);
    bench.on_event();
    assert!(bench.usable("1-1"), "late, but it is");
}

#[test]
fn a_hub_comes_before_what_is_plugged_into_it() {
    let mut bench = Bench::started("allow with-interface 09:00:00\nallow serial \"GOOD\"");
    bench.kernel.plug("1-1.1", Gadget::storage("GOOD"));
    bench.kernel.plug("1-1.2", Gadget::storage("EVIL"));
    bench.kernel.plug("1-2", Gadget::storage("GOOD"));
    bench.kernel.plug("1-1", Gadget::hub("", 4));
    bench.on_event();
    assert!(bench.usable("1-1.1") && !bench.usable("1-1.2") && bench.usable("1-2"));
    // The hub goes, and all with it.
    let hub = bench.number("1-1");
    let now = bench.now;
    let order = Order { device: hub, verdict: Verdict::Block, lasting: Lasting::Presence };
    bench.blocker().decide(order, &now).unwrap();
    bench.on_event();
    assert!(!bench.kernel.is_there("1-1.1") && bench.usable("1-2"));
}

#[test]
fn what_is_out_stays_awake() {
    let mut bench = Bench::started("allow with-interface 09:00:00");
    let may_sleep = |bench: &Bench, name: &str| {
        bench.kernel.kernel().nodes[&name.parse::<DeviceName>().unwrap()].may_sleep
    };
    bench.kernel.plug("1-1", Gadget::hub("", 4));
    bench.kernel.plug("1-2", Gadget::storage("S"));
    bench.on_event();
    assert!(may_sleep(&bench, "usb1") && may_sleep(&bench, "1-1") && !may_sleep(&bench, "1-2"));
    // udev lets devices of some makes sleep as they come.
    bench.kernel.kernel().nodes.get_mut(&"1-2".parse().unwrap()).unwrap().may_sleep = true;
    bench.order("1-1", Verdict::Block, Lasting::Presence);
    assert!(!may_sleep(&bench, "1-1") && !may_sleep(&bench, "1-2"));
    bench.order("1-2", Verdict::Allow, Lasting::Presence);
    assert!(may_sleep(&bench, "1-2") && may_sleep(&bench, "usb1"));
}

#[test]
fn a_window_of_time_opens_and_closes_to_the_second() {
    let mut bench = Bench::started("allow serial \"S\" if localtime(12:00:10-12:00:19)");
    bench.kernel.plug("1-1", Gadget::storage("S"));
    bench.on_event();
    assert!(!bench.usable("1-1"));
    assert_eq!(bench.wake, Duration::from_secs(10));
    bench.after(9);
    assert!(!bench.usable("1-1"));
    bench.after(1);
    assert!(bench.usable("1-1"));
    assert_eq!(bench.wake, Duration::from_secs(10));
    bench.after(10);
    assert!(!bench.usable("1-1"), "the window closes on a device that is in");
}

#[test]
fn without_the_time_no_window_is_open() {
    let mut bench = Bench::new("allow serial \"S\" if localtime(00:00-23:59:59)");
    bench.now.local_time = None;
    bench.start();
    bench.told();
    bench.kernel.plug("1-1", Gadget::storage("S"));
    bench.on_event();
    assert!(!bench.usable("1-1"));
    assert_eq!(bench.told(), ["usb.block denied: implicit while the time is unknown"]);
    assert!(bench.wake <= Duration::from_secs(5));
    bench.now.local_time = TimeOfDay::new(3, 0, 0);
    bench.after(5);
    assert!(bench.usable("1-1"));
}

#[test]
fn what_was_let_in_around_the_daemon_is_put_out() {
    let mut bench = Bench::started("allow serial \"GOOD\"");
    bench.kernel.plug("1-1", Gadget::storage("EVIL"));
    bench.on_event();
    let id = bench.kernel.id("1-1").unwrap();
    bench.kernel.write(&id, "authorized", "1").unwrap();
    bench.on_event();
    assert!(!bench.usable("1-1"));
    // The same while it was dead.
    bench.kill();
    bench.kernel.write(&id, "authorized", "1").unwrap();
    bench.kernel.plug("1-2", Gadget::storage("GOOD"));
    assert!(!bench.usable("1-2"), "without the daemon nothing is let in");
    bench.start();
    assert!(!bench.usable("1-1") && bench.usable("1-2"));
}

#[test]
fn nothing_is_let_in_while_decisions_cannot_be_recorded() {
    let mut bench = Bench::started("allow serial \"GOOD\"");
    bench.now.may_allow = false;
    bench.told();
    bench.kernel.plug("1-1", Gadget::storage("GOOD"));
    bench.on_event();
    assert!(!bench.usable("1-1"));
    assert_eq!((bench.told(), bench.wake), (Vec::new(), Duration::from_secs(1)));
    bench.now.may_allow = true;
    bench.after(1);
    assert!(bench.usable("1-1"));
    assert_eq!(bench.told(), ["usb.allow"]);
}

#[test]
fn a_bus_that_fails_lets_nothing_in_and_is_told_once() {
    let mut bench = Bench::started("allow");
    bench.told();
    bench.kernel.kernel().is_broken = true;
    bench.kernel.plug("1-1", Gadget::storage("S"));
    bench.on_event();
    bench.after(1);
    assert!(!bench.usable("1-1"));
    assert_eq!(bench.wake, Duration::from_secs(1));
    let told = bench.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("usb.device failed: it cannot be dealt with"), "{told:?}");
    bench.kernel.kernel().is_broken = false;
    bench.after(1);
    assert!(bench.usable("1-1"));
}

#[test]
fn observing_lets_all_in_and_says_what_the_rules_would_do() {
    let mut bench = Bench::new("allow serial \"GOOD\"");
    bench.config = Config::parse("mode = \"observe\"").unwrap();
    bench.start();
    bench.told();
    bench.kernel.plug("1-1", Gadget::storage("EVIL"));
    bench.kernel.plug("1-4", Gadget::storage("GOOD"));
    bench.on_event();
    assert!(bench.usable("1-1") && bench.usable("1-4"));
    assert!(bench.notes[0].target.starts_with("by implicit; only observed: 1-1"));
    assert_eq!(bench.told(), ["usb.block", "usb.allow"]);
    let now = bench.now;
    let devices = bench.blocker().devices(&now);
    assert!(devices.iter().all(|device| device.authorized && device.observed));
}

#[test]
fn rules_look_at_what_came_before() {
    let rules = "allow serial \"KEY\"\nallow serial \"LOCK\" if allowed-matches(serial \"KEY\")";
    let mut bench = Bench::started(rules);
    bench.kernel.plug("1-1", Gadget::storage("LOCK"));
    bench.on_event();
    assert!(!bench.usable("1-1"));
    bench.kernel.plug("1-2", Gadget::storage("KEY"));
    bench.kernel.plug("1-3", Gadget::storage("LOCK"));
    bench.on_event();
    assert!(bench.usable("1-2") && bench.usable("1-3"));
    bench.kernel.unplug("1-2");
    bench.on_event();
    assert!(!bench.usable("1-3"), "what the permission rests on is gone");
}
