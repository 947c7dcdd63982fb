//! `org.holdfast.Usb1`: which USB devices and ports may be used; and USBGuard's interfaces, so that
//! its clients work unchanged.
//!
//! The USB daemon implements [`UsbBackend`] and calls [`serve`]; callers are authorized and calls
//! recorded before it sees them. What happens on the ports it tells through [`UsbEvents`]. The
//! interfaces as other languages see them are in `org.holdfast.Usb1.xml` and `org.usbguard1.xml` of
//! `rootfs-overlay/usr/share/dbus-1/interfaces`; a test compares them.

mod announce;
mod argument;
mod backend;
mod event;
mod proxy;
mod report;
mod serve;
mod service;
mod usb1;
mod usbguard;

pub use argument::{LONGEST, RULE_LAST};
pub use backend::{Lasting, Order, Parameter, RuleText, UsbBackend};
pub use event::{DeviceFacts, EventStream, Presence, UsbEvent, UsbEvents};
pub use proxy::{Decided, DecidedStream, Usb1Proxy};
pub use report::{
    ConditionReport, DecisionReport, DeviceCounts, DeviceReport, Explanation, PortReport,
    PortsStatus, RuleCheck, RuleReport, RulesStatus, UsbStatus,
};
pub use serve::serve;
pub use usb1::Usb1;
pub use usbguard::{Usbguard, UsbguardDevices, UsbguardPolicy};

/// Well-known name on the system bus.
pub const BUS_NAME: &str = "org.holdfast.Usb1";
/// Path of the one object.
pub const OBJECT_PATH: &str = "/org/holdfast/Usb1";
/// Name of the interface.
pub const INTERFACE: &str = "org.holdfast.Usb1";

/// USBGuard's names on the bus.
pub mod usbguard_names {
    /// Well-known name on the system bus.
    pub const BUS_NAME: &str = "org.usbguard1";
    /// Path of the object with the parameters.
    pub const ROOT_PATH: &str = "/org/usbguard1";
    /// Interface of the parameters.
    pub const ROOT_INTERFACE: &str = "org.usbguard1";
    /// Path of the object with the rules.
    pub const POLICY_PATH: &str = "/org/usbguard1/Policy";
    /// Interface of the rules.
    pub const POLICY_INTERFACE: &str = "org.usbguard.Policy1";
    /// Path of the object with the devices.
    pub const DEVICES_PATH: &str = "/org/usbguard1/Devices";
    /// Interface of the devices.
    pub const DEVICES_INTERFACE: &str = "org.usbguard.Devices1";
}
