//! What the fuzzers do with their bytes.

use holdfast_usb::device_name::DeviceName;
use holdfast_usb::uevent::Uevent;

/// What is read of an accepted message stands in it; put together again it is read the same; and the
/// last part of its path is a device's name in one spelling only.
pub fn uevents(bytes: &[u8]) {
    let Some(event) = Uevent::parse(bytes) else { return };
    assert!(event.device_path.starts_with('/') && !event.action.is_empty());
    let mut again = format!("{}@{}\0", event.action, event.device_path).into_bytes();
    for (key, value) in [("SUBSYSTEM", event.subsystem), ("DEVTYPE", event.device_type)] {
        if !value.is_empty() {
            again.extend(format!("{key}={value}\0").into_bytes());
        }
    }
    assert_eq!(Uevent::parse(&again), Some(event.clone()));
    let last = event.device_path.rsplit('/').next().unwrap_or_default();
    if let Ok(name) = last.parse::<DeviceName>() {
        assert_eq!(name.to_string(), last);
        assert_eq!(name.is_controller(), name.parent().is_none());
    }
}
