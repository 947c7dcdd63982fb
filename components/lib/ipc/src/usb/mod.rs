//! `org.holdfast.Usb1`: which USB devices and ports may be used; and USBGuard's interfaces, so that
//! its clients work unchanged.
//!
//! The USB daemon implements [`UsbBackend`]; callers are authorized and calls recorded before it
//! sees them. What happens on the ports it tells through [`UsbEvents`].

mod backend;
mod event;
mod report;

pub use backend::{Lasting, Order, Parameter, RuleText, UsbBackend};
pub use event::{DeviceFacts, EventStream, Presence, UsbEvent, UsbEvents};
pub use report::{
    ConditionReport, DecisionReport, DeviceCounts, DeviceReport, Explanation, PortReport,
    PortsStatus, RuleCheck, RuleReport, RulesStatus, UsbStatus,
};

/// Well-known name on the system bus.
pub const BUS_NAME: &str = "org.holdfast.Usb1";
/// Path of the one object.
pub const OBJECT_PATH: &str = "/org/holdfast/Usb1";
/// Name of the interface.
pub const INTERFACE: &str = "org.holdfast.Usb1";
