//! Names that callers choose.

use std::fmt;

use serde::Deserialize;

/// Name of a key or of a sealed item: 1 to 32 of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(String);

impl Name {
    /// Checks the form.
    pub fn new(name: impl Into<String>) -> Result<Self, String> {
        let name = name.into();
        if (1..=32).contains(&name.len())
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        {
            Ok(Self(name))
        } else {
            let shown: String = name.chars().take(40).collect();
            Err(format!("{shown:?} is not a name: expected 1 to 32 of a-z, 0-9 and '-'"))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        Self::new(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
