//! What people decide.

use holdfast_ipc::ErrorKind;
use holdfast_ipc::usb::Parameter;
use holdfast_usb_rules::{Document, Position, RuleId};

use super::*;
use crate::sysfs::fake::Gadget;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_permission_for_a_time_ends_with_it() {
    let mut bench = Bench::started("");
    bench.kernel.plug("1-1", Gadget::storage("S"));
    bench.on_event();
    bench.told();
    bench.order("1-1", Verdict::Allow, Lasting::For(MINUTE));
    assert!(bench.usable("1-1"));
    assert_eq!(bench.told(), ["usb.allow"]);
    assert_eq!(bench.wake, MINUTE);
    bench.after(59);
    assert!(bench.usable("1-1"));
    bench.after(1);
    assert!(!bench.usable("1-1"));
    assert_eq!(bench.told(), ["usb.block denied: implicit"]);
    // One for as long as it is there ends when it goes.
    bench.order("1-1", Verdict::Allow, Lasting::Presence);
    assert!(bench.usable("1-1"));
    bench.kernel.plug("1-1", Gadget::storage("S"));
    bench.on_event();
    assert!(!bench.usable("1-1"));
}

#[test]
fn the_next_device_is_let_in_once() {
    let mut bench = Bench::started("");
    bench.kernel.plug("1-1", Gadget::storage("BEFORE"));
    bench.on_event();
    let now = bench.now;
    bench.blocker().allow_next(MINUTE, &now);
    bench.on_event();
    assert!(!bench.usable("1-1"), "what is there already is not the next one");
    bench.kernel.plug("1-2", Gadget::storage("NEXT"));
    bench.kernel.plug("1-3", Gadget::storage("LATER"));
    bench.on_event();
    assert!(bench.usable("1-2") && !bench.usable("1-3"));
    bench.blocker().allow_next(MINUTE, &now);
    bench.after(60);
    bench.kernel.plug("1-1", Gadget::storage("TOO LATE"));
    bench.on_event();
    assert!(!bench.usable("1-1"));
}

#[test]
fn a_permission_for_good_is_a_rule() {
    let mut bench = Bench::started("# ours\nblock\n");
    bench.kernel.plug("1-1", Gadget::storage("S"));
    bench.on_event();
    bench.order("1-1", Verdict::Allow, Lasting::Permanent);
    assert!(bench.usable("1-1"), "it comes before the rule that blocks all");
    let kept = fs::read_to_string(bench.file("rules.conf")).unwrap();
    assert!(kept.starts_with("# ours\nallow id 46f4:0001 serial \"S\""), "{kept}");
    bench.order("1-1", Verdict::Block, Lasting::Permanent);
    assert!(!bench.usable("1-1"));
    let kept = fs::read_to_string(bench.file("rules.conf")).unwrap();
    assert_eq!(kept.lines().count(), 3, "one rule a device: {kept}");
    bench.order("1-1", Verdict::Allow, Lasting::Permanent);
    bench.kill();
    bench.start();
    assert!(bench.usable("1-1"));
}

#[test]
fn orders_that_cannot_be_followed_change_nothing() {
    let mut bench = Bench::started("");
    let now = bench.now;
    let order = Order { device: 77, verdict: Verdict::Allow, lasting: Lasting::Presence };
    let error = bench.blocker().decide(order, &now).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidArgs);
    assert!(error.message.contains("holdfast usb list"), "{error}");
    let error = bench.blocker().remove_rule(RuleId(9)).unwrap_err();
    assert!(error.message.contains("no rule 9"), "{error}");
    let rule = "allow".parse().unwrap();
    let error = bench.blocker().append_rule(&rule, Position::After(RuleId(9)), false).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidArgs);
    let error = bench.blocker().set_port("1-2:1.0", true).unwrap_err();
    assert!(error.message.contains("holdfast usb ports"), "{error}");
    assert!(!bench.file("rules.conf").exists() && !bench.file("ports.conf").exists());

    // A disk that takes nothing.
    fs::create_dir(bench.file("rules.conf.new")).unwrap();
    let error = bench.blocker().append_rule(&rule, Position::Last, false).unwrap_err();
    assert!(error.message.starts_with("nothing was changed: cannot write"), "{error}");
    assert!(bench.blocker().rules().is_empty());
}

#[test]
fn temporary_rules_are_forgotten() {
    let mut bench = Bench::started("");
    let (kept, gone) =
        ("allow serial \"A\"".parse().unwrap(), "allow serial \"B\"".parse().unwrap());
    let first = bench.blocker().append_rule(&gone, Position::Last, true).unwrap();
    assert!(!bench.file("rules.conf").exists(), "nothing of it is kept");
    bench.blocker().append_rule(&kept, Position::Last, false).unwrap();
    bench.kernel.plug("1-1", Gadget::storage("A"));
    bench.kernel.plug("1-2", Gadget::storage("B"));
    bench.on_event();
    assert!(bench.usable("1-1") && bench.usable("1-2"));
    assert!(bench.blocker().rules()[0].temporary);
    assert_eq!(fs::read_to_string(bench.file("rules.conf")).unwrap(), "allow serial \"A\"\n");
    bench.kill();
    bench.start();
    assert!(bench.usable("1-1") && !bench.usable("1-2"));
    let _ = first;
}

#[test]
fn a_policy_made_of_what_is_there_lets_it_in_and_no_other() {
    let mut bench = Bench::started("");
    bench.kernel.plug("1-1", Gadget::storage("S"));
    bench.kernel.plug("1-2", Gadget::storage(""));
    bench.on_event();
    let policy = bench.blocker().generate_policy(false);
    assert_eq!(policy.lines().count(), 2, "{policy}");
    bench.blocker().replace_rules(Document::parse(policy.as_bytes()).unwrap()).unwrap();
    bench.kernel.plug("1-3", Gadget::storage(""));
    bench.on_event();
    assert!(bench.usable("1-1") && bench.usable("1-2"));
    assert!(!bench.usable("1-3"), "without a serial number its port is part of the rule");
    let now = bench.now;
    let device = bench.number("1-3");
    let explained = bench.blocker().explain(device, &now).unwrap();
    assert!(explained.rules.iter().all(|rule| !rule.applies));
    assert!(explained.rules[1].mismatches[0].contains("via-port"), "{explained:?}");
}

#[test]
fn usbguards_parameters() {
    let mut bench = Bench::started("allow serial \"S\"");
    let inserted = Parameter::InsertedDevicePolicy;
    assert_eq!(bench.blocker().set_parameter(inserted, "block").unwrap(), "apply-policy");
    bench.kernel.plug("1-1", Gadget::storage("S"));
    bench.on_event();
    assert!(!bench.usable("1-1"));
    bench.blocker().set_parameter(inserted, "apply-policy").unwrap();
    bench.on_event();
    assert!(bench.usable("1-1"));
    let implicit = Parameter::ImplicitPolicyTarget;
    assert_eq!(bench.blocker().set_parameter(implicit, "reject").unwrap(), "block");
    assert!(bench.blocker().set_parameter(implicit, "keep").is_err());
    bench.kernel.plug("1-2", Gadget::storage("OTHER"));
    bench.on_event();
    assert!(!bench.kernel.is_there("1-2"));
}
