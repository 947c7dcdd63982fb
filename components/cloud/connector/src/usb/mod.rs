//! USB ports of devices: what the cloud says of them, and what is plugged into them. No I/O.

mod inventory;
mod policy;

pub use inventory::{MOST_USB_DEVICES, UsbChanges, UsbDevice};
pub use policy::{
    DeviceUsbPolicy, TextChange, ToldUsbPolicy, UsbContent, UsbDocument, UsbPolicy,
    UsbPolicyChange, UsbPolicyOwner, check_ports, check_rules,
};
