//! Which devices a rule covers.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

mod common;

use common::{device, interface};
use holdfast_usb_rules::{InterfacePattern, InterfaceType, Rule, SetOperator, Target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn covers(rule: &str, interfaces: &str) -> bool {
    rule.parse::<Rule>().unwrap().covers(&device(interfaces))
}

#[test]
fn attributes_are_compared() {
    let cases = [
        ("allow", true),
        ("allow id 0781:5581", true),
        ("allow id 0781:*", true),
        ("allow id *:*", true),
        ("allow id 0781:5582", false),
        ("allow id 0782:*", false),
        ("allow id one-of { 1d6b:* 0781:* }", true),
        ("allow id none-of { 1d6b:* 0781:* }", false),
        ("allow id { 0781:5581 0781:* }", false),
        ("allow serial \"4C530001\"", true),
        ("allow serial \"4c530001\"", false),
        ("allow serial \"\"", false),
        ("allow name match-all { \"Extreme\" \"Ultra\" }", true),
        ("allow hash \"aGFzaA==\"", true),
        ("allow hash \"other\"", false),
        ("allow parent-hash \"cGFyZW50\"", true),
        ("allow parent-hash \"other\"", false),
        ("allow via-port \"1-2.3\"", true),
        ("allow via-port \"1-2\"", false),
        ("allow with-connect-type \"hotplug\"", true),
        ("allow with-connect-type one-of { \"hardwired\" \"not used\" }", false),
        ("allow label \"anything\"", true),
        // Conditions are not part of the device.
        ("allow if false", true),
        ("allow id 0781:* serial \"4C530001\" name \"Extreme\"", false),
    ];
    for (rule, covered) in cases {
        assert_eq!(covers(rule, "08:06:50"), covered, "{rule}");
    }
}

#[test]
fn hexadecimal_digits_are_numbers_in_either_case() {
    let mut device = device("e0:01:01");
    device.id.vendor = 0xabcd;
    for rule in ["allow id ABCD:*", "allow id abcd:5581", "allow with-interface E0:*:*"] {
        assert!(rule.parse::<Rule>().unwrap().covers(&device), "{rule}");
    }
}

#[test]
fn operators_compare_sets() {
    let stick = "08:06:50";
    let keyboard = "03:01:01 03:00:00";
    let bad = "08:06:50 03:01:01";
    let none = "";
    let cases = [
        ("{ 08:*:* }", [true, false, false, false]),
        ("equals { 08:*:* 03:*:* }", [false, false, true, false]),
        ("equals { 03:*:* 08:*:* }", [false, false, true, false]),
        ("equals-ordered { 08:*:* 03:*:* }", [false, false, true, false]),
        ("equals-ordered { 03:*:* 08:*:* }", [false, false, false, false]),
        ("equals-ordered { 03:01:01 03:*:* }", [false, true, false, false]),
        ("all-of { 08:*:* }", [true, false, true, false]),
        ("all-of { 08:*:* 03:01:* }", [false, false, true, false]),
        ("one-of { 03:01:01 03:01:02 }", [false, true, true, false]),
        ("none-of { 03:*:* }", [true, false, false, true]),
        ("match-all { 08:*:* 03:*:* }", [true, true, true, true]),
        ("match-all { 03:*:* }", [false, true, false, true]),
    ];
    for (set, expected) in cases {
        let rule = format!("allow with-interface {set}");
        let found = [stick, keyboard, bad, none].map(|interfaces| covers(&rule, interfaces));
        assert_eq!(found, expected, "{set}");
    }
}

#[test]
fn equals_compares_multisets() {
    let cases = [
        // USBGuard calls these two equal: a keyboard would hide behind the second drive.
        ("{ 08:06:50 08:06:50 }", "08:06:50 03:01:01", false),
        ("{ 08:06:50 08:06:50 }", "08:06:50 08:06:50", true),
        // The wildcard must not take the only value that the other pattern covers.
        ("{ 08:*:* 08:06:50 }", "08:06:50 08:01:01", true),
        ("{ 08:*:* 08:06:50 }", "08:01:01 08:06:50", true),
        ("{ 08:*:* 08:06:* 08:06:50 }", "08:06:50 08:06:62 08:01:01", true),
        ("{ 08:*:* 08:06:* 08:06:50 }", "08:06:50 08:02:62 08:01:01", false),
    ];
    for (set, interfaces, covered) in cases {
        let rule = format!("allow with-interface {set}");
        assert_eq!(covers(&rule, interfaces), covered, "{set} {interfaces}");
    }
}

#[test]
fn mismatches_name_the_attribute() {
    let rule: Rule =
        r#"allow id 0781:* name "Extreme" with-interface { 08:06:50 }"#.parse().unwrap();
    let shown: Vec<_> =
        rule.mismatches(&device("08:06:50 03:01:01")).iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            r#"name: the rule wants "Extreme", the device has "Ultra""#,
            "with-interface: the rule wants 08:06:50, the device has 08:06:50 03:01:01",
        ]
    );
    let empty = "allow with-interface 08:06:50".parse::<Rule>().unwrap().mismatches(&device(""));
    assert!(empty[0].to_string().ends_with("the device has nothing"), "{}", empty[0]);
}

#[test]
fn a_rule_made_from_a_device_covers_it() {
    use holdfast_usb_rules::RuleDetail;
    let device = device("08:06:50 03:01:01");
    let rule = device.to_rule(Target::Allow, RuleDetail { port: true, parent: true });
    assert_eq!(
        rule.to_string(),
        r#"allow id 0781:5581 serial "4C530001" name "Ultra" hash "aGFzaA==" parent-hash "cGFyZW50" via-port "1-2.3" with-interface { 08:06:50 03:01:01 } with-connect-type "hotplug""#
    );
    assert!(rule.covers(&device));
    let elsewhere = device.to_rule(Target::Allow, RuleDetail { port: false, parent: false });
    assert!(!elsewhere.to_string().contains("via-port"));
    assert!(!elsewhere.to_string().contains("parent-hash"));
}

#[test]
fn a_controller_is_a_root_hub_alone() {
    let mut hub = device("09:00:01");
    assert!(!hub.is_controller());
    hub.via_port = "usb1".into();
    assert!(hub.is_controller());
    hub.interfaces.push(interface("03:01:01"));
    assert!(!hub.is_controller());
}

/// Few values, so that they meet.
fn kind() -> impl Strategy<Value = InterfaceType> {
    let byte = || select(vec![0_u8, 1]);
    (byte(), byte(), byte()).prop_map(|(class, subclass, protocol)| InterfaceType {
        class,
        subclass,
        protocol,
    })
}

fn pattern() -> impl Strategy<Value = InterfacePattern> {
    (kind(), 0..3).prop_map(|(kind, detail)| {
        let text = match detail {
            0 => format!("{:02x}:*:*", kind.class),
            1 => format!("{:02x}:{:02x}:*", kind.class, kind.subclass),
            _ => kind.to_string(),
        };
        text.parse().unwrap()
    })
}

/// The definitions of the operators, word for word.
fn model(operator: SetOperator, wanted: &[InterfacePattern], found: &[InterfaceType]) -> bool {
    let pairs = |order: &[usize]| {
        order.iter().zip(wanted).all(|(index, pattern)| pattern.covers(found[*index]))
    };
    let same_length = wanted.len() == found.len();
    match operator {
        SetOperator::AllOf => wanted.iter().all(|p| found.iter().any(|v| p.covers(*v))),
        SetOperator::OneOf => wanted.iter().any(|p| found.iter().any(|v| p.covers(*v))),
        SetOperator::NoneOf => found.iter().all(|v| wanted.iter().all(|p| !p.covers(*v))),
        SetOperator::MatchAll => found.iter().all(|v| wanted.iter().any(|p| p.covers(*v))),
        SetOperator::EqualsOrdered => same_length && pairs(&(0..found.len()).collect::<Vec<_>>()),
        SetOperator::Equals => same_length && orders(found.len()).iter().any(|order| pairs(order)),
    }
}

/// Every order of the numbers below `length`.
fn orders(length: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![vec![]];
    for number in 0..length {
        let longer = |order: Vec<usize>| {
            (0..=order.len()).map(move |place| {
                let mut order = order.clone();
                order.insert(place, number);
                order
            })
        };
        orders = orders.into_iter().flat_map(longer).collect();
    }
    orders
}

proptest! {
    #[test]
    fn operators_are_as_defined(
        operator in select(SetOperator::ALL.to_vec()),
        wanted in vec(pattern(), 1..6),
        found in vec(kind(), 0..6),
    ) {
        let words: Vec<_> = wanted.iter().map(ToString::to_string).collect();
        let rule = format!("allow with-interface {operator} {{ {} }}", words.join(" "));
        let rule: Rule = rule.parse().unwrap();
        let mut device = device("");
        device.interfaces.clone_from(&found);
        prop_assert_eq!(rule.covers(&device), model(operator, &wanted, &found));
        prop_assert_eq!(rule.covers(&device), rule.mismatches(&device).is_empty());
    }
}
