//! USB ports of devices: what the cloud says of them. No I/O.

mod policy;

pub use policy::{
    DeviceUsbPolicy, TextChange, ToldUsbPolicy, UsbContent, UsbDocument, UsbPolicy,
    UsbPolicyChange, UsbPolicyOwner, check_ports, check_rules,
};
