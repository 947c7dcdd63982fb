//! `/usr/lib/holdfast/usb.toml`: how the daemon treats devices and ports.
//!
//! ```toml
//! mode = "enforce"
//! implicit = "block"
//!
//! [storm]
//! arrivals = 30
//! within_s = 10
//! off_s = 30
//!
//! [lockdown]
//! drivers = ["xhci_pci"]
//! ```

use std::time::Duration;

use holdfast_usb_rules::Verdict;
use serde::Deserialize;

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether policy and port list are enforced.
    pub mode: Mode,
    implicit: Implicit,
    /// When a port is taken to be mad.
    pub storm: StormLimit,
    /// What the first program of the boot does.
    pub lockdown: Lockdown,
}

/// Whether policy and port list are enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// Everything may be used; what would have been done is recorded.
    Observe,
}

impl Mode {
    /// The name in the file and on the bus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Implicit {
    Allow,
    #[default]
    Block,
    Reject,
}

/// A port on which more devices come than this is switched off for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StormLimit {
    /// Devices.
    pub arrivals: usize,
    within_s: u64,
    off_s: u64,
}

impl Default for StormLimit {
    fn default() -> Self {
        Self { arrivals: 30, within_s: 10, off_s: 30 }
    }
}

impl StormLimit {
    /// A limit of this many, else as usual.
    #[cfg(test)]
    pub(crate) fn after(arrivals: usize) -> Self {
        Self { arrivals, ..Self::default() }
    }

    /// In which they come.
    pub const fn within(self) -> Duration {
        Duration::from_secs(self.within_s)
    }

    /// How long the port stays off.
    pub const fn off(self) -> Duration {
        Duration::from_secs(self.off_s)
    }
}

/// What `holdfast-usb lockdown` does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lockdown {
    /// Drivers of controllers that it loads, so that their ports are off before anything is asked.
    pub drivers: Vec<String>,
}

impl Config {
    /// Reads and checks the file's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let StormLimit { arrivals, within_s, off_s } = config.storm;
        for (name, value, range) in [
            ("storm.arrivals", arrivals as u64, 2..=1000),
            ("storm.within_s", within_s, 1..=3600),
            ("storm.off_s", off_s, 1..=86_400),
        ] {
            if !range.contains(&value) {
                let (least, most) = range.into_inner();
                return Err(format!("{name} is {value}: expected {least} to {most}"));
            }
        }
        let is_driver = |name: &String| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            !name.is_empty() && !name.starts_with('-') && name.bytes().all(plain)
        };
        match config.lockdown.drivers.iter().find(|name| !is_driver(name)) {
            Some(name) => Err(format!("lockdown.drivers: {name:?} is not the name of a driver")),
            None => Ok(config),
        }
    }

    /// What is done with a device that no rule is for.
    pub const fn implicit(&self) -> Verdict {
        match self.implicit {
            Implicit::Allow => Verdict::Allow,
            Implicit::Block => Verdict::Block,
            Implicit::Reject => Verdict::Reject,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_strict_one() {
        let config = Config::parse("").unwrap();
        assert_eq!((config.mode, config.implicit()), (Mode::Enforce, Verdict::Block));
        assert_eq!(config.storm.off(), Duration::from_secs(30));
        let observed = Config::parse("mode = \"observe\"\n[storm]\narrivals = 5").unwrap();
        assert_eq!((observed.mode, observed.storm.arrivals), (Mode::Observe, 5));
        assert_eq!(observed.storm.within(), Duration::from_secs(10));
    }

    #[test]
    fn faults_are_named() {
        let table = [
            ("mode = \"off\"", "mode"),
            ("moed = \"enforce\"", "moed"),
            ("implicit = \"match\"", "implicit"),
            ("[storm]\narrivals = 1", "storm.arrivals is 1: expected 2 to 1000"),
            ("[storm]\noff_s = 0", "storm.off_s"),
            ("[lockdown]\ndrivers = [\"xhci_pci\", \"-r\"]", "\"-r\" is not the name of a driver"),
        ];
        for (text, expected) in table {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn the_images_file_is_valid() {
        let text = include_str!("../../../../rootfs-overlay/usr/lib/holdfast/usb.toml");
        let config = Config::parse(text).unwrap();
        assert_eq!(config.mode, Mode::Enforce);
        // What it loads nothing else may load, and what nothing else may load it must.
        let list = include_str!("../../../../rootfs-overlay/usr/lib/modprobe.d/holdfast-usb.conf");
        let listed: Vec<_> =
            list.lines().filter_map(|line| line.strip_prefix("blacklist ")).collect();
        assert_eq!(config.lockdown.drivers, listed);
    }
}
