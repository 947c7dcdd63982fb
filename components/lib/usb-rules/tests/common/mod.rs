//! Devices and circumstances for tests.
#![allow(dead_code, reason = "each test uses a part")]

use std::time::Duration;

use holdfast_usb_rules::{
    Circumstances, Device, DeviceId, Document, History, InterfaceType, Policy, RuleId, TimeOfDay,
    Verdict,
};

/// A device whose interfaces are written as in `"08:06:50 03:01:01"`.
pub fn device(interfaces: &str) -> Device {
    Device {
        id: DeviceId { vendor: 0x0781, product: 0x5581 },
        serial: "4C530001".into(),
        name: "Ultra".into(),
        hash: "aGFzaA==".into(),
        parent_hash: "cGFyZW50".into(),
        via_port: "1-2.3".into(),
        interfaces: interfaces.split_whitespace().map(interface).collect(),
        connect_type: "hotplug".into(),
    }
}

pub fn interface(text: &str) -> InterfaceType {
    let parts: Vec<_> = text.split(':').map(|part| u8::from_str_radix(part, 16).unwrap()).collect();
    InterfaceType { class: parts[0], subclass: parts[1], protocol: parts[2] }
}

/// A policy that blocks what no rule applies to.
pub fn policy(rules: &str) -> Policy {
    Policy::new(&Document::parse(rules.as_bytes()).unwrap(), Verdict::Block)
}

pub fn time(hour: u8, minute: u8, second: u8) -> TimeOfDay {
    TimeOfDay::new(hour, minute, second).unwrap()
}

/// Noon, nothing happened before, nothing else is allowed, and chance draws 0.3.
pub fn noon(history: &History) -> Circumstances<'_> {
    Circumstances {
        local_time: Some(time(12, 0, 0)),
        arrived: Duration::from_secs(1000),
        history,
        allowed: &[],
        draw: &|_: RuleId, _: usize| 0.3,
    }
}
