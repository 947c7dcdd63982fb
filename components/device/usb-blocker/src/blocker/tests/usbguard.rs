//! Policies as USBGuard's documentation has them (its rule language's manual, "Example policies"),
//! unchanged in force.

use super::*;
use crate::sysfs::fake::Gadget;

const STICK: [u8; 3] = [0x08, 0x06, 0x50];
const KEYBOARD: [u8; 3] = [0x03, 0x01, 0x01];

/// What becomes of a device that comes alone: `allow`, `block`, or `reject`, with which it goes.
fn verdict(rules: &str, port: &str, gadget: Gadget) -> &'static str {
    let mut bench = Bench::started(rules);
    bench.kernel.plug(port, gadget);
    bench.on_event();
    match (bench.kernel.is_there(port), bench.usable(port)) {
        (_, true) => "allow",
        (true, false) => "block",
        (false, false) => "reject",
    }
}

#[test]
fn memory_sticks_and_nothing_that_is_more() {
    let rules = "allow with-interface equals { 08:*:* }\n\
                 reject with-interface all-of { 08:*:* 03:00:* }\n\
                 reject with-interface all-of { 08:*:* 03:01:* }\n\
                 reject with-interface all-of { 08:*:* e0:*:* }\n\
                 reject with-interface all-of { 08:*:* 02:*:* }\n";
    let table: [(&[[u8; 3]], &str); 6] = [
        (&[STICK], "allow"),
        (&[STICK, KEYBOARD], "reject"),
        (&[STICK, [0x03, 0x00, 0x00]], "reject"),
        (&[[0xe0, 0x01, 0x01], STICK], "reject"),
        (&[STICK, [0x02, 0x02, 0x01]], "reject"),
        (&[KEYBOARD], "block"),
    ];
    for (interfaces, expected) in table {
        assert_eq!(
            verdict(rules, "1-1", Gadget::new("S", interfaces)),
            expected,
            "{interfaces:x?}"
        );
    }
}

#[test]
fn one_device_at_one_port_and_no_other_there() {
    let rules = "allow 1050:0011 name \"Yubico Yubikey II\" serial \"0001234567\" via-port \"1-2\"\n\
                 reject via-port \"1-2\"\n";
    let key = Gadget {
        id: (0x1050, 0x0011),
        name: "Yubico Yubikey II".to_owned(),
        ..Gadget::new("0001234567", &[[0x03, 0x01, 0x01]])
    };
    assert_eq!(verdict(rules, "1-2", key.clone()), "allow");
    assert_eq!(verdict(rules, "1-1", key.clone()), "block");
    assert_eq!(verdict(rules, "1-2", Gadget { serial: "0001234568".to_owned(), ..key }), "reject");
    assert_eq!(verdict(rules, "1-2", Gadget::storage("S")), "reject");
}

#[test]
fn one_keyboard_and_no_second_one() {
    let rules = "allow with-interface one-of { 03:00:01 03:01:01 } \
                 if !allowed-matches(with-interface one-of { 03:00:01 03:01:01 })\n";
    let mut bench = Bench::started(rules);
    bench.kernel.plug("1-1", Gadget::new("FIRST", &[KEYBOARD]));
    bench.on_event();
    bench.kernel.plug("1-2", Gadget::new("SECOND", &[KEYBOARD]));
    bench.on_event();
    assert!(bench.usable("1-1") && !bench.usable("1-2"));
    bench.look(Scope::Everything);
    assert!(bench.usable("1-1") && !bench.usable("1-2"), "and it stays so");
    bench.kernel.unplug("1-1");
    bench.on_event();
    assert!(bench.usable("1-2"), "the first one has gone");
}
