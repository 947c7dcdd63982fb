//! Names of USB devices in sysfs (Linux, Documentation/driver-api/usb/usb.rst): `usb1` is a
//! controller's root hub, `1-2.3` is on bus 1 behind port 2 of the root hub and port 3 of a hub.

use core::fmt;
use core::str::FromStr;

/// Where a device is: bus and ports. In order, a hub comes before what is plugged into it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName {
    bus: u32,
    chain: Vec<u8>,
}

/// USB 2.0, 4.1.1: at most seven tiers, the root hub included; USB 3 adds none.
const MAX_DEPTH: usize = 7;

impl DeviceName {
    /// Number of the bus.
    pub const fn bus(&self) -> u32 {
        self.bus
    }

    /// Port numbers from the root hub on; none of the root hub itself.
    pub fn chain(&self) -> &[u8] {
        &self.chain
    }

    /// Whether it is a root hub.
    pub fn is_controller(&self) -> bool {
        self.chain.is_empty()
    }

    /// The hub that it is plugged into; none of a root hub.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.chain.split_last()?;
        Some(Self { bus: self.bus, chain: above.to_vec() })
    }

    /// Port of the parent that it is plugged into.
    pub fn port(&self) -> Option<u8> {
        self.chain.last().copied()
    }

    /// The root hub of its bus.
    #[must_use]
    pub fn controller(&self) -> Self {
        Self { bus: self.bus, chain: Vec::new() }
    }

    /// What is plugged into a port of this hub.
    #[must_use]
    pub fn child(&self, port: u8) -> Self {
        Self { bus: self.bus, chain: [&self.chain[..], &[port]].concat() }
    }
}

/// The text is not of that form. Interfaces (`1-2:1.0`) are not devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a USB device, as in usb1 or 1-2.3")]
pub struct NotADevice;

impl FromStr for DeviceName {
    type Err = NotADevice;

    fn from_str(text: &str) -> Result<Self, NotADevice> {
        if let Some(bus) = text.strip_prefix("usb") {
            return Ok(Self { bus: number(bus)?, chain: Vec::new() });
        }
        let (bus, chain) = text.split_once('-').ok_or(NotADevice)?;
        let chain: Vec<u8> = chain.split('.').map(number).collect::<Result<_, _>>()?;
        if chain.len() >= MAX_DEPTH {
            return Err(NotADevice);
        }
        Ok(Self { bus: number(bus)?, chain })
    }
}

/// A number from 1 on, as the kernel prints it.
fn number<T: FromStr + PartialEq + Default>(text: &str) -> Result<T, NotADevice> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain).ok_or(NotADevice)
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.chain.is_empty() {
            return write!(f, "usb{}", self.bus);
        }
        write!(f, "{}", self.bus)?;
        for (index, port) in self.chain.iter().enumerate() {
            write!(f, "{}{port}", if index == 0 { '-' } else { '.' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_up_and_down() {
        let name: DeviceName = "12-2.3".parse().unwrap();
        assert_eq!((name.bus(), name.chain(), name.port()), (12, &[2, 3][..], Some(3)));
        assert_eq!(name.parent().unwrap().to_string(), "12-2");
        assert_eq!(name.parent().unwrap().parent().unwrap().to_string(), "usb12");
        assert_eq!(name.controller().parent(), None);
        assert_eq!(name.child(4).to_string(), "12-2.3.4");
        assert!(name.parent().unwrap() < name && name.controller() < name);
    }

    #[test]
    fn what_is_no_device_is_refused() {
        let deep = "1-1.1.1.1.1.1.1";
        for bad in ["", "usb", "usb0", "usb01", "1", "1-", "-1", "1-0", "1-2:1.0", "1-0:1.0"] {
            assert_eq!(bad.parse::<DeviceName>(), Err(NotADevice), "{bad}");
        }
        for bad in ["1-2.", "1-2..3", "1-256", "1-+2", "usb1x", "1 -2", deep, "usb99999999999"] {
            assert_eq!(bad.parse::<DeviceName>(), Err(NotADevice), "{bad}");
        }
        assert!("1-1.1.1.1.1.1".parse::<DeviceName>().is_ok());
    }
}
