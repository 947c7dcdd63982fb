//! Rules and lists that others wrote.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::sysfs::fake::Gadget;

#[test]
fn bad_rules_leave_the_last_good_ones_in_force() {
    let mut bench = Bench::started("");
    fs::write(bench.file("rules.conf"), "allow serial \"GOOD\"\n").unwrap();
    bench.look(Scope::Everything);
    bench.kernel.plug("1-1", Gadget::storage("GOOD"));
    bench.kernel.plug("1-2", Gadget::storage("EVIL"));
    bench.on_event();
    assert!(bench.usable("1-1"));
    bench.told();

    fs::write(bench.file("rules.conf"), "allow\n\nallow seriall \"X\"\n").unwrap();
    bench.look(Scope::Everything);
    let told = bench.told();
    assert_eq!(told.len(), 1, "{told:?}");
    let place = "rules.conf: line 3, column 7: unknown attribute";
    assert!(told[0].starts_with("usb.rules-load failed") && told[0].contains(place), "{told:?}");
    assert!(bench.usable("1-1") && !bench.usable("1-2"));
    let status = bench.blocker().status();
    assert!(!status.healthy && status.rules.error.contains(place), "{status:?}");

    bench.kill();
    bench.start();
    assert!(bench.usable("1-1") && !bench.usable("1-2"));
    assert_eq!(bench.blocker().status().rules.state, "last-good");

    fs::write(bench.file("rules.conf"), "allow serial \"EVIL\"\n").unwrap();
    bench.look(Scope::Everything);
    assert!(!bench.usable("1-1") && bench.usable("1-2"));
    assert!(bench.blocker().status().healthy);
}

#[test]
fn rules_that_others_may_write_are_not_taken() {
    let mut bench = Bench::started("");
    bench.told();
    fs::write(bench.file("rules.conf"), "allow\n").unwrap();
    fs::set_permissions(bench.file("rules.conf"), fs::Permissions::from_mode(0o666)).unwrap();
    bench.kernel.plug("1-1", Gadget::storage("S"));
    bench.look(Scope::Everything);
    assert!(!bench.usable("1-1"));
    let told = bench.told();
    assert!(told[0].contains("rules.conf: others may write it (owner 0, mode 0666)"), "{told:?}");
}

#[test]
fn without_any_rules_only_internal_ports_work() {
    let mut bench = Bench::new("");
    fs::remove_file(bench.file("image-rules")).unwrap();
    let place = "pci0000:00/0000:00:04.0/hs";
    let list = format!("used {place}/1\ninternal {place}/2\n");
    fs::write(bench.file("image-ports"), list).unwrap();
    bench.config = Config::parse("implicit = \"allow\"").unwrap();
    bench.start();
    bench.kernel.plug("1-1", Gadget::storage("S"));
    bench.kernel.plug("1-2", Gadget::storage("MODEM"));
    bench.on_event();
    assert!(!bench.usable("1-1") && bench.usable("1-2"));
    assert_eq!(bench.blocker().status().rules.state, "none");
}

#[test]
fn a_bad_port_list_leaves_the_last_good_one_in_force() {
    let mut bench = Bench::started("allow");
    bench.blocker().set_port("1-4", true).unwrap();
    bench.kernel.plug("1-4", Gadget::storage("S"));
    bench.on_event();
    fs::write(bench.file("ports.conf"), "used *\nusedd *\n").unwrap();
    bench.told();
    bench.look(Scope::Everything);
    let told = bench.told();
    assert!(told[0].contains("ports.conf: line 2, column 1: \"usedd\""), "{told:?}");
    bench.kill();
    bench.start();
    assert!(bench.usable("1-4"));
    assert_eq!(bench.blocker().status().ports.state, "last-good");
}
