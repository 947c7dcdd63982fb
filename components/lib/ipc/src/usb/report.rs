//! What the daemon tells about devices, ports and rules, as JSON over the bus.

use serde::{Deserialize, Serialize};

/// A USB device that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Number of the device; it is never given to another one while the daemon runs.
    pub id: u32,
    /// Name of its folder in sysfs, as in `1-2.3`.
    pub device: String,
    /// Topological name of the port that it is on; empty of a controller.
    pub port: String,
    /// Vendor and product, as in `0781:5583`.
    pub usb_id: String,
    /// What it calls itself.
    pub name: String,
    /// Its serial number.
    pub serial: String,
    /// USBGuard's hash of it; empty if it is malformed.
    pub hash: String,
    /// Class, subclass and protocol of its interfaces, as in `08:06:50`.
    pub interfaces: Vec<String>,
    /// What the firmware says of its port: `hardwired`, `hotplug`, `not used`, `unknown` or empty.
    pub connect_type: String,
    /// Whether the kernel lets it be used now.
    pub authorized: bool,
    /// What the policy says: `allow`, `block` or `reject`.
    pub target: String,
    /// What says so, as in `rule 3 (label "keyboards")`, `implicit` or `operator`.
    pub reason: String,
    /// The policy is only observed: the device may be used whatever the target.
    pub observed: bool,
    /// Seconds until the operator's decision ends; none if it does not end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// The device as a rule with its target, port and parent.
    pub rule: String,
}

/// A port of a hub that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortReport {
    /// Topological name, as in `pci0000:00/0000:00:04.0/hs/1.3`.
    pub name: String,
    /// Name in sysfs, as in `1-1-port3`.
    pub sysfs: String,
    /// What the port list says of it: `used`, `internal` or `unused`.
    pub state: String,
    /// Whether the port is on.
    pub enabled: bool,
    /// What the firmware says of it.
    pub connect_type: String,
    /// Folder name in sysfs of what is plugged in; empty if nothing is.
    pub device: String,
}

/// A rule in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// Its number.
    pub id: u32,
    /// Its text.
    pub rule: String,
    /// It is forgotten when the daemon ends.
    pub temporary: bool,
}

/// How the daemon is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsbStatus {
    /// `enforce` or `observe`.
    pub mode: String,
    /// Nothing is wrong: rules and port list are the ones that are on the disk.
    pub healthy: bool,
    /// The rules.
    pub rules: RulesStatus,
    /// The ports.
    pub ports: PortsStatus,
    /// The devices.
    pub devices: DeviceCounts,
    /// Version of the cloud's policy that was taken last; none if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<u64>,
}

/// Which rules are in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesStatus {
    /// Where they come from: `device`, `image`, `last-good` or `none` (everything is blocked).
    pub state: String,
    /// File that they were read from; empty for none.
    pub file: String,
    /// What is wrong with a file that is newer; empty if nothing is.
    pub error: String,
    /// How many there are.
    pub count: usize,
}

/// Which ports are on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortsStatus {
    /// As [`RulesStatus::state`].
    pub state: String,
    /// As [`RulesStatus::error`].
    pub error: String,
    /// Ports that are on.
    pub open: usize,
    /// Ports that are off.
    pub shut: usize,
}

/// How many devices are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCounts {
    /// May be used.
    pub allowed: usize,
    /// May not.
    pub blocked: usize,
}

/// Why a device is treated as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The device.
    pub device: DeviceReport,
    /// Every rule up to the one that decides, which is then the last and applies.
    pub rules: Vec<RuleCheck>,
}

/// One rule held against one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCheck {
    /// Number of the rule.
    pub id: u32,
    /// Its text.
    pub rule: String,
    /// Whether it applies.
    pub applies: bool,
    /// The attributes that differ, as in `serial: the rule wants "1", the device has "2"`.
    pub mismatches: Vec<String>,
    /// Its conditions.
    pub conditions: Vec<ConditionReport>,
}

/// A condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionReport {
    /// Its text.
    pub condition: String,
    /// `true`, `false` or `unknown` (the time is not known).
    pub holds: String,
}

/// A decision that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionReport {
    /// Number of the device.
    pub id: u32,
    /// Folder name in sysfs.
    pub device: String,
    /// Vendor and product.
    pub usb_id: String,
    /// What it calls itself.
    pub name: String,
    /// `allow`, `block` or `reject`; `remove` when it left.
    pub target: String,
    /// What says so.
    pub reason: String,
    /// The device as a rule.
    pub rule: String,
    /// The policy is only observed.
    pub observed: bool,
}
