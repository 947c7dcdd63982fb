//! The rule language that says which USB devices are let in: USBGuard's, so that its policies move
//! over unchanged, with an extension for single interfaces; and the list of ports that are in use.
//!
//! Pure: takes bytes, the time and what chance has drawn; returns rules and decisions. No I/O.
//!
//! ```
//! use std::time::Duration;
//! use holdfast_usb_rules::{
//!     Circumstances, Descriptors, Device, DeviceStrings, Document, History, Policy, TimeOfDay,
//!     Verdict, controller_parent_hash, device_hash,
//! };
//!
//! // The file `descriptors` of a root hub.
//! let descriptors = [
//!     18, 1, 0, 2, 9, 0, 1, 64, 0x6b, 0x1d, 2, 0, 0x12, 6, 3, 2, 1, 1, // device
//!     9, 2, 25, 0, 1, 1, 0, 0xe0, 0, // configuration
//!     9, 4, 0, 0, 1, 9, 0, 0, 0, // interface
//!     7, 5, 0x81, 3, 4, 0, 12, // endpoint
//! ];
//! let (product, serial) = ("xHCI Host Controller", "0000:00:14.0");
//! let parsed = Descriptors::parse(&descriptors)?;
//! let id = parsed.device.id;
//! let strings = DeviceStrings { product: product.as_bytes(), id, serial: serial.as_bytes() };
//! let hub = Device {
//!     id,
//!     serial: serial.into(),
//!     name: product.into(),
//!     hash: device_hash(&strings, &descriptors)?,
//!     parent_hash: controller_parent_hash("/devices/pci0000:00/0000:00:14.0"),
//!     via_port: "usb1".into(),
//!     interfaces: parsed.interface_types(),
//!     connect_type: "".into(),
//! };
//!
//! let file = b"# our hubs\nallow id 1d6b:* if localtime(08:00-17:00) label \"hubs\"\n";
//! let policy = Policy::new(&Document::parse(file)?, Verdict::Block);
//! let history = History::default();
//! let circumstances = Circumstances {
//!     local_time: TimeOfDay::new(16, 59, 0),
//!     arrived: Duration::from_secs(3),
//!     history: &history,
//!     allowed: &[],
//!     draw: &|_rule, _condition| 0.5,
//! };
//! let decision = policy.decide(&hub, &circumstances);
//! assert_eq!(decision.to_string(), "allow by rule 1 (label \"hubs\")");
//! // The window closes with the second after 17:00:00.
//! assert_eq!(policy.next_change(&hub, &circumstances), Some(Duration::from_secs(61)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod condition;
mod cursor;
mod descriptors;
mod device;
mod document;
mod error;
mod hash;
mod interface_policy;
mod policy;
pub mod ports;
mod rule;
mod value;

pub use condition::{Condition, Probability, Test, TimeOfDay, TimeWindow};
pub use descriptors::{
    Configuration, DescriptorError, Descriptors, DeviceDescriptor, Interface, MAX_DESCRIPTOR_BYTES,
};
pub use device::{Device, RuleDetail};
pub use document::{Document, EditError, MAX_DOCUMENT_BYTES, Position, RuleId};
pub use error::{ParseError, ParseErrors, Problem};
pub use hash::{DeviceStrings, HashError, controller_parent_hash, device_hash, trim_sysfs};
pub use interface_policy::{InterfacePlace, InterfacePolicy};
pub use policy::{Basis, Circumstances, Decision, History, Policy, RuleExplanation, Truth};
pub use rule::{
    AttributeName, MAX_CONDITIONS, Mismatch, Rule, SetOperator, Target, ValueSet, Verdict,
};
pub use value::{DeviceId, DeviceIdPattern, InterfacePattern, InterfaceType, RuleString};
