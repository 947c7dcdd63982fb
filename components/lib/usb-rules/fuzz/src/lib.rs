//! What the fuzzers do with their bytes.

use std::time::Duration;

use holdfast_usb_rules::{
    Circumstances, Descriptors, Device, DeviceId, DeviceStrings, Document, History, InterfaceType,
    Policy, Rule, RuleId, TimeOfDay, Verdict, device_hash,
};

/// An accepted file comes back as it is; each of its rules is printed and read again without a
/// change; and whatever the rules are, a device can be judged by them.
pub fn rules(bytes: &[u8]) {
    if let Ok(query) = Rule::parse_query(bytes) {
        same_when_printed(&query);
    }
    let Ok(document) = Document::parse(bytes) else { return };
    assert_eq!(document.to_bytes(), bytes);
    document.rules().for_each(|(_, rule)| same_when_printed(rule));
    judge(&Policy::new(&document, Verdict::Block));
}

fn same_when_printed(rule: &Rule) {
    assert_eq!(Rule::parse(rule.to_string().as_bytes()).as_ref(), Ok(rule));
}

fn judge(policy: &Policy) {
    let (device, history) = (device(), History::default());
    let draw = |_: RuleId, _: usize| 0.5;
    let circumstances = Circumstances {
        local_time: Some(TimeOfDay::MIDNIGHT),
        arrived: Duration::ZERO,
        history: &history,
        allowed: &[&device],
        draw: &draw,
    };
    let decision = policy.decide(&device, &circumstances);
    let explanations = policy.explain(&device, &circumstances);
    let decided = explanations.last().is_some_and(|last| last.applies);
    assert_eq!(decided, matches!(decision.basis, holdfast_usb_rules::Basis::Rule { .. }));
    if let Some(after) = policy.next_change(&device, &circumstances) {
        let seconds = u32::try_from(after.as_secs()).unwrap_or_default();
        let later = Some(TimeOfDay::MIDNIGHT.plus(seconds));
        let then = policy.decide(&device, &Circumstances { local_time: later, ..circumstances });
        assert_ne!(then, decision);
    }
}

fn device() -> Device {
    Device {
        id: DeviceId { vendor: 0x0781, product: 0x5581 },
        serial: "s".into(),
        name: "n".into(),
        hash: "h".into(),
        parent_hash: "p".into(),
        via_port: "1-2".into(),
        interfaces: vec![InterfaceType { class: 8, subclass: 6, protocol: 0x50 }; 2],
        connect_type: "hotplug".into(),
    }
}

/// Accepted descriptors have a hash; the others have none.
pub fn descriptors(bytes: &[u8]) {
    let descriptors = Descriptors::parse(bytes);
    let id = DeviceId { vendor: 0x0781, product: 0x5581 };
    let strings = DeviceStrings { product: b"n", id, serial: b"s" };
    assert_eq!(device_hash(&strings, bytes).is_ok(), descriptors.is_ok());
    if let Ok(descriptors) = descriptors {
        // An interface descriptor has 9 bytes.
        assert!(descriptors.interface_types().len() <= bytes.len() / 9);
    }
}
