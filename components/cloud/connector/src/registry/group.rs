//! Groups: what an operator says of several devices at once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::names::is_label;
use super::{QuoteMode, Tenant};

/// A group's name, unique within its tenant: 1 to 64 characters of a-z, 0-9 and inner hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupName(String);

/// A text is not a group's name.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is not a group: expected 1 to 64 characters of a-z, 0-9 and inner hyphens")]
pub struct GroupNameError(String);

impl GroupName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = GroupNameError;
    fn from_str(text: &str) -> Result<Self, GroupNameError> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(GroupNameError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for GroupName {
    type Error = GroupNameError;
    fn try_from(text: String) -> Result<Self, GroupNameError> {
        text.parse()
    }
}

impl From<GroupName> for String {
    fn from(name: GroupName) -> Self {
        name.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A group as an operator writes it.
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// Owner of its devices.
    pub tenant: Tenant,
    /// Unique within the tenant.
    pub name: GroupName,
    /// What an unknown quote of its devices leads to.
    pub quote_policy: QuoteMode,
    /// When.
    pub at: OffsetDateTime,
    /// Name of who writes.
    pub by: String,
}

/// A group of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Owner of its devices.
    pub tenant: Tenant,
    /// Unique within the tenant.
    pub name: GroupName,
    /// What an unknown quote of its devices leads to, where the device itself says nothing.
    pub quote_policy: QuoteMode,
    /// How many devices are in it, those that are retired not counted.
    pub devices: u64,
    /// When it was made or last replaced.
    #[serde(with = "time::serde::rfc3339")]
    pub changed_at: OffsetDateTime,
    /// By whom.
    pub changed_by: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_a_path() {
        for good in ["lab", "a", "line-7", &"a".repeat(64)] {
            assert_eq!(good.parse::<GroupName>().unwrap().as_str(), good);
        }
        for bad in ["", "Lab", "-a", "a-", "a b", "a/b", "a.b", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<GroupName>().is_err(), "{bad:?}");
        }
    }
}
