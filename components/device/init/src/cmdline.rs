//! The signed kernel command line.

use std::fs;

use crate::error::{InitError, at};

/// What the initrd takes from the command line.
pub struct CommandLine {
    /// Verity root hash of the root file system.
    pub root_hash: [u8; 32],
}

impl CommandLine {
    /// Reads the running kernel's command line.
    pub fn read() -> Result<Self, InitError> {
        Self::parse(&at("read /proc/cmdline", fs::read_to_string("/proc/cmdline"))?)
    }

    /// Takes the values out of a command line. A value that is given twice is refused: one of the
    /// two was not signed with the other.
    pub fn parse(text: &str) -> Result<Self, InitError> {
        let mut values = text.split_whitespace().filter_map(|w| w.strip_prefix("holdfast.root="));
        let value = values.next().ok_or(InitError::CommandLine("holdfast.root= is missing"))?;
        if values.next().is_some() {
            return Err(InitError::CommandLine("holdfast.root= is given twice"));
        }
        let malformed = || InitError::CommandLine("holdfast.root= is not 64 hexadecimal digits");
        if value.len() != 64 || !value.is_ascii() {
            return Err(malformed());
        }
        let mut root_hash = [0; 32];
        for (i, byte) in root_hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&value[2 * i..2 * i + 2], 16).map_err(|_| malformed())?;
        }
        Ok(Self { root_hash })
    }

    /// The first digits of the root hash, for people.
    pub fn root_hash_short(&self) -> String {
        crate::verity::hex(&self.root_hash[..6])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_root_hash() {
        let text = format!("quiet holdfast.root={} panic=10", "0a".repeat(32));
        assert_eq!(CommandLine::parse(&text).unwrap().root_hash, [10; 32]);
    }

    #[test]
    fn refuses_missing_double_and_malformed_values() {
        let good = format!("holdfast.root={}", "0a".repeat(32));
        for bad in [
            String::new(),
            format!("{good} {good}"),
            good[..77].into(),
            good.replace('a', "g"),
            good.replace("0a", "é"),
        ] {
            assert!(CommandLine::parse(&bad).is_err(), "{bad}");
        }
    }
}
