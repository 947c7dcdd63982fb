//! Every method of every interface, each with good calls.

use holdfast_ipc::Role;
use holdfast_ipc::usb::{BUS_NAME, INTERFACE, OBJECT_PATH, usbguard_names as usbguard};

use crate::client::{Object, Who, call_object};
use crate::private_bus::PrivateBus;

/// A method, one good call of it, and what comes of that.
pub struct Method {
    /// With the interface.
    pub name: &'static str,
    pub arguments: &'static [&'static str],
    /// The lowest role that may.
    pub role: Role,
    /// Action and target of the record.
    pub record: &'static str,
    /// What the backend is asked for.
    pub work: &'static str,
    /// A part of the answer.
    pub answer: &'static str,
}

impl Method {
    pub fn call(&self, bus: &PrivateBus, who: Who) -> Result<String, String> {
        call_object(bus, who, object_of(self.name), self.name, self.arguments)
    }
}

/// Where the interface of a method is.
pub fn object_of(method: &str) -> Object<'static> {
    let (interface, _) = method.rsplit_once('.').unwrap();
    let (name, path) = match interface {
        INTERFACE => (BUS_NAME, OBJECT_PATH),
        usbguard::ROOT_INTERFACE => (usbguard::BUS_NAME, usbguard::ROOT_PATH),
        usbguard::POLICY_INTERFACE => (usbguard::BUS_NAME, usbguard::POLICY_PATH),
        usbguard::DEVICES_INTERFACE => (usbguard::BUS_NAME, usbguard::DEVICES_PATH),
        other => panic!("{other} is nowhere"),
    };
    Object { name, path }
}

/// A line of the table.
const fn method(
    role: Role,
    (name, arguments): (&'static str, &'static [&'static str]),
    record: &'static str,
    work: &'static str,
    answer: &'static str,
) -> Method {
    Method { name, arguments, role, record, work, answer }
}

pub const NEXT: &str = "org.holdfast.Usb1.AllowNext";
pub const DECIDE: &str = "org.holdfast.Usb1.Decide";
pub const APPEND: &str = "org.holdfast.Usb1.AppendRule";
pub const REPLACE: &str = "org.holdfast.Usb1.ReplaceRules";
pub const POLICY: &str = "org.holdfast.Usb1.ApplyPolicy";
pub const APPLY: &str = "org.usbguard.Devices1.applyDevicePolicy";

/// Every method of every interface.
pub const METHODS: &[Method] = {
    use Role::{Admin, Operator, Viewer};
    &[
        method(Viewer, ("org.holdfast.Usb1.ListDevices", &[]), "usb.devices ", "devices", "1-2"),
        method(Viewer, ("org.holdfast.Usb1.ListPorts", &[]), "usb.ports ", "ports", "usb1-port2"),
        method(Viewer, ("org.holdfast.Usb1.ListRules", &[]), "usb.rules ", "rules", "1d6b:*"),
        method(Viewer, ("org.holdfast.Usb1.Status", &[]), "usb.status ", "status", "enforce"),
        method(Viewer, ("org.holdfast.Usb1.Explain", &["7"]), "usb.explain 7", "explain 7", "1-2"),
        method(
            Viewer,
            ("org.holdfast.Usb1.GeneratePolicy", &["true"]),
            "usb.generate-policy ",
            "generate true",
            "('allow id 1d6b:*\\n',)",
        ),
        method(
            Operator,
            (DECIDE, &["7", "allow", "0", "false"]),
            "usb.decide 7",
            "decide 7 allow Presence",
            "(uint32 0,)",
        ),
        method(
            Operator,
            (DECIDE, &["7", "reject", "600", "false"]),
            "usb.decide 7",
            "decide 7 reject For(600s)",
            "(uint32 0,)",
        ),
        method(
            Admin,
            (DECIDE, &["7", "block", "0", "true"]),
            "usb.decide 7",
            "decide 7 block Permanent",
            "(uint32 2,)",
        ),
        method(Operator, (NEXT, &["86400"]), "usb.allow-next ", "allow next 86400s", "()"),
        method(
            Admin,
            ("org.holdfast.Usb1.EnablePort", &["hs/2"]),
            "usb.port-enable hs/2",
            "port hs/2 true",
            "()",
        ),
        method(
            Admin,
            ("org.holdfast.Usb1.DisablePort", &["hs/2"]),
            "usb.port-disable hs/2",
            "port hs/2 false",
            "()",
        ),
        method(
            Admin,
            (APPEND, &["allow 0781:*", "0", "true"]),
            "usb.rule-append first: allow 0781:*",
            "append allow id 0781:* First true",
            "(uint32 3,)",
        ),
        method(
            Admin,
            (APPEND, &["block", "4294967293", "false"]),
            "usb.rule-append last: block",
            "append block Last false",
            "(uint32 3,)",
        ),
        method(
            Admin,
            ("org.holdfast.Usb1.RemoveRule", &["5"]),
            "usb.rule-remove 5",
            "remove 5",
            "()",
        ),
        method(
            Admin,
            (REPLACE, &["allow 1d6b:*"]),
            "usb.rules-replace ",
            "replace \"allow 1d6b:*\"",
            "()",
        ),
        method(
            Admin,
            (POLICY, &["no document"]),
            "usb.policy-apply ",
            "policy of 11 bytes",
            "(uint64 7,)",
        ),
        method(
            Viewer,
            ("org.usbguard1.getParameter", &["InsertedDevicePolicy"]),
            "usb.parameter InsertedDevicePolicy",
            "parameter InsertedDevicePolicy",
            "('apply-policy',)",
        ),
        method(
            Admin,
            ("org.usbguard1.setParameter", &["InsertedDevicePolicy", "block"]),
            "usb.parameter-set InsertedDevicePolicy",
            "set InsertedDevicePolicy block",
            "('apply-policy',)",
        ),
        method(
            Viewer,
            ("org.usbguard.Policy1.listRules", &[""]),
            "usb.rules ",
            "labelled None",
            "([(uint32 1, 'allow id 1d6b:*')],)",
        ),
        method(
            Viewer,
            ("org.usbguard.Policy1.listRules", &["hubs"]),
            "usb.rules ",
            "labelled Some(\"hubs\")",
            "([(uint32 1, 'allow id 1d6b:*')],)",
        ),
        method(
            Admin,
            ("org.usbguard.Policy1.appendRule", &["allow 0781:*", "7", "false"]),
            "usb.rule-append after rule 7: allow 0781:*",
            "append allow id 0781:* After(RuleId(7)) false",
            "(uint32 3,)",
        ),
        method(
            Admin,
            ("org.usbguard.Policy1.removeRule", &["5"]),
            "usb.rule-remove 5",
            "remove 5",
            "()",
        ),
        method(
            Viewer,
            ("org.usbguard.Devices1.listDevices", &[""]),
            "usb.devices ",
            "matching match",
            "([(uint32 7, 'block id 0781:5583 via-port \"1-2\"')],)",
        ),
        method(
            Viewer,
            ("org.usbguard.Devices1.listDevices", &["with-interface 08:*:*"]),
            "usb.devices ",
            "matching match with-interface 08:*:*",
            "(uint32 7, ",
        ),
        method(
            Operator,
            (APPLY, &["7", "0", "false"]),
            "usb.decide 7",
            "decide 7 allow Presence",
            "(uint32 4294967295,)",
        ),
        method(
            Admin,
            (APPLY, &["7", "2", "true"]),
            "usb.decide 7",
            "decide 7 reject Permanent",
            "(uint32 2,)",
        ),
    ]
};
