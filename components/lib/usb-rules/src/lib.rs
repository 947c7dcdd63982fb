//! The rule language that says which USB devices are let in: USBGuard's, so that its policies move
//! over unchanged, with an extension for single interfaces.
//!
//! Pure: takes bytes, the time and what chance has drawn; returns rules and decisions. No I/O.
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
