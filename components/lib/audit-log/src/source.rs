//! Who wrote the record.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The side and program that wrote a record: `cloud` or `device:<daemon>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Source(String);

impl Source {
    const CLOUD: &str = "cloud";
    const DEVICE: &str = "device:";
    const DAEMON_MAX: usize = 32;

    /// The cloud connector.
    pub fn cloud() -> Self {
        Self(Self::CLOUD.to_owned())
    }

    /// A daemon of the device by its short name, as in `enroller`: 1 to 32 of `a-z`, `0-9`, `-`.
    pub fn device(daemon: &str) -> Result<Self, Error> {
        Self::try_from(format!("{}{daemon}", Self::DEVICE))
    }

    /// The daemon's name if a device wrote the record.
    pub fn daemon(&self) -> Option<&str> {
        self.0.strip_prefix(Self::DEVICE)
    }

    /// The source as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Source {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        let known = text == Self::CLOUD
            || text.strip_prefix(Self::DEVICE).is_some_and(|daemon| {
                (1..=Self::DAEMON_MAX).contains(&daemon.len())
                    && daemon.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            });
        if known { Ok(Self(text)) } else { Err(Error::Source(text.chars().take(64).collect())) }
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.0
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_kinds_only() {
        assert_eq!(Source::cloud().daemon(), None);
        assert_eq!(Source::device("usb-blocker").unwrap().daemon(), Some("usb-blocker"));
        let long = "a".repeat(33);
        for bad in ["", "a b", "Enroller", "a:b", &long] {
            assert!(Source::device(bad).is_err(), "{bad:?}");
        }
        assert!(Source::try_from("somewhere".to_owned()).is_err());
    }
}
