//! The name of a port, which stays the same whatever is plugged in and in which order drivers load.

use core::fmt;

/// Controller, speed of its root hub, and port numbers from there on, as in
/// `pci0000:00/0000:00:04.0/hs/1.3`. A connector with USB 3 is two ports: `hs` (USB 2) and `ss`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortName(String);

impl PortName {
    /// The name of a port from the place of its controller (path in sysfs below `/devices`), the
    /// root hub's speed in Mbit/s and the port numbers.
    pub fn new(controller: &str, mbit: u32, chain: &[u8]) -> Self {
        let speed = if mbit >= 5000 { "ss" } else { "hs" };
        let ports: Vec<String> = chain.iter().map(ToString::to_string).collect();
        Self(format!("{}/{speed}/{}", controller.trim_start_matches('/'), ports.join(".")))
    }

    /// Checks that a text has the form of a name.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, ports) = text.rsplit_once('/')?;
        let (controller, speed) = rest.rsplit_once('/')?;
        let is_number =
            |port: &str| port.parse::<u8>().is_ok_and(|n| n > 0 && !port.starts_with('0'));
        let is_place =
            !controller.is_empty() && controller.bytes().all(|b| b.is_ascii_graphic() && b != b'*');
        let good = is_place && matches!(speed, "hs" | "ss") && ports.split('.').all(is_number);
        good.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_place_speed_and_ports() {
        let name = PortName::new("pci0000:00/0000:00:04.0", 480, &[1, 3]);
        assert_eq!(name.as_str(), "pci0000:00/0000:00:04.0/hs/1.3");
        assert_eq!(PortName::parse(name.as_str()), Some(name));
        assert_eq!(PortName::new("platform/a", 10_000, &[2]).as_str(), "platform/a/ss/2");
        for bad in [
            "", "1-2", "hs/1", "/hs/1", "a/fs/1", "a/hs/", "a/hs/0", "a/hs/1.", "a b/hs/1",
            "*/hs/1",
        ] {
            assert_eq!(PortName::parse(bad), None, "{bad}");
        }
    }
}
