//! One message: `ACTION@DEVPATH`, then `KEY=VALUE` fields, each closed by a NUL.

/// What is read of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uevent<'a> {
    /// `add`, `remove`, `bind`, `change` and others.
    pub action: &'a str,
    /// Path in sysfs without `/sys`.
    pub device_path: &'a str,
    /// `SUBSYSTEM`; empty if there is none.
    pub subsystem: &'a str,
    /// `DEVTYPE`; empty if there is none.
    pub device_type: &'a str,
}

impl<'a> Uevent<'a> {
    /// Reads a message; `None` if it is not one of the kernel's. Messages that udev sends begin
    /// with `libudev` and have no `@`.
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let mut fields = message.split(|byte| *byte == 0);
        let header = text(fields.next()?)?;
        let (action, device_path) = header.split_once('@')?;
        let is_word = !action.is_empty() && action.bytes().all(|byte| byte.is_ascii_lowercase());
        if !is_word || !device_path.starts_with('/') {
            return None;
        }
        let mut event = Self { action, device_path, subsystem: "", device_type: "" };
        for field in fields.filter(|field| !field.is_empty()) {
            // Values may hold anything a device says of itself.
            let split = field.iter().position(|byte| *byte == b'=')?;
            match field.split_at(split) {
                (b"ACTION", value) if text(&value[1..]) != Some(action) => return None,
                (b"DEVPATH", value) if text(&value[1..]) != Some(device_path) => return None,
                (b"SUBSYSTEM", value) => event.subsystem = text(&value[1..])?,
                (b"DEVTYPE", value) => event.device_type = text(&value[1..])?,
                _ => {}
            }
        }
        Some(event)
    }

    /// Whether it may change which USB devices there are, or what they are.
    pub fn is_about_usb(&self) -> bool {
        self.subsystem == "usb"
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADD: &[u8] = b"add@/devices/pci0000:00/0000:00:04.0/usb1/1-1\0ACTION=add\0\
        DEVPATH=/devices/pci0000:00/0000:00:04.0/usb1/1-1\0SUBSYSTEM=usb\0MAJOR=189\0MINOR=1\0\
        DEVNAME=bus/usb/001/002\0DEVTYPE=usb_device\0PRODUCT=46f4/1/0\0TYPE=0/0/0\0SEQNUM=1234\0";

    #[test]
    fn what_the_kernel_sends_is_read() {
        let event = Uevent::parse(ADD).unwrap();
        assert_eq!((event.action, event.device_type), ("add", "usb_device"));
        assert_eq!(event.device_path, "/devices/pci0000:00/0000:00:04.0/usb1/1-1");
        assert!(event.is_about_usb());
        let other =
            Uevent::parse(b"change@/devices/virtual/block/dm-0\0SUBSYSTEM=block\0").unwrap();
        assert!(!other.is_about_usb());
        let odd = b"add@/d\0PRODUCT=\xff\xfe\0SUBSYSTEM=usb\0";
        assert!(Uevent::parse(odd).is_some_and(|event| event.is_about_usb()));
    }

    #[test]
    fn what_is_no_uevent_is_refused() {
        let table: [&[u8]; 10] = [
            b"",
            b"\0",
            b"libudev\0\xfe\xed\xca\xfe",
            b"add",
            b"@/devices",
            b"add@devices",
            b"ADD@/devices\0",
            b"add@/d\0no field\0",
            b"add@/d\0ACTION=remove\0",
            b"add@/d\0DEVPATH=/e\0",
        ];
        for bad in table {
            assert_eq!(Uevent::parse(bad), None, "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
