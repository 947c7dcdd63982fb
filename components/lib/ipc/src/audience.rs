//! For whom a token is.

use std::fmt;

use serde::Deserialize;

/// Claim `aud` of a token (RFC 7519, section 4.1.3): 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Audience(String);

impl Audience {
    const MAX_BYTES: usize = 255;

    /// Checks a text.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        let good = (1..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if good {
            return Ok(Self(text));
        }
        let shown: String = text.chars().take(40).collect();
        let most = Self::MAX_BYTES;
        Err(format!("{shown:?} is not an audience: expected 1 to {most} visible ASCII characters"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Audience {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(text)
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audiences_are_bounded_and_visible() {
        for good in ["a", "https://telemetry.example", &"a".repeat(255)] {
            assert_eq!(Audience::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a\n", "\u{e4}", &"a".repeat(256)] {
            assert!(Audience::new(bad).unwrap_err().contains("not an audience"), "{bad:?}");
        }
    }
}
