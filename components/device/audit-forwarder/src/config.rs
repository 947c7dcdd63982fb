//! What the image's owner decides: `/usr/lib/holdfast/audit.toml`.
//!
//! ```toml
//! spool_mib = 256
//! when_full = "drop"      # "block", "halt"
//! upload_delay_s = 5
//! ```

use std::time::Duration;

use serde::Deserialize;

use crate::spool::Limits;

/// What becomes of events of the kernel for which the spool has no room. Critical records have a
/// reserve of a tenth; when that is gone too, the operations that they are about are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// They are counted and told, and the device works on.
    #[default]
    Drop,
    /// They wait, and so do the programs that cause them, for as long as the kernel makes them
    /// (`--backlog_wait_time`).
    Block,
    /// They wait for ten minutes; if the connector takes no records, the device is powered off.
    Halt,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    spool_mib: u16,
    /// What to do where the spool is full.
    pub when_full: WhenFull,
    upload_delay_s: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { spool_mib: 256, when_full: WhenFull::default(), upload_delay_s: 5 }
    }
}

impl Config {
    /// Where the image keeps it.
    pub const PATH: &str = "/usr/lib/holdfast/audit.toml";
    /// Fewer segments leave no reserve.
    const LEAST_MIB: u16 = 8;

    /// Reads and checks the file's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if config.spool_mib < Self::LEAST_MIB {
            return Err(format!("spool_mib is {}: at least {}", config.spool_mib, Self::LEAST_MIB));
        }
        Ok(config)
    }

    /// Bounds of the spool.
    pub fn limits(&self) -> Limits {
        let total = u64::from(self.spool_mib) * 1024 * 1024;
        Limits { total, ..Limits::default() }
    }

    /// How long records wait for others before they are sent.
    pub fn upload_delay(&self) -> Duration {
        Duration::from_secs(self.upload_delay_s.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_valid() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../rootfs-overlay/usr/lib/holdfast/audit.toml"
        );
        let config = Config::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.limits(), Limits::default());
    }

    #[test]
    fn files_that_cannot_be_meant_are_refused() {
        let table = [
            ("spool_mib = 7", "at least 8"),
            ("spool_mib = 70000", "spool_mib"),
            ("when_full = \"wait\"", "when_full"),
            ("spool = 1", "unknown field"),
        ];
        for (text, part) in table {
            let error = Config::parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!(Config::parse("when_full = \"halt\"").unwrap().when_full, WhenFull::Halt);
    }
}
