//! What the root file system says about itself.

use serde::Deserialize;

/// The facts of `release.toml` that decide here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Release {
    /// Version for people.
    pub version: String,
    /// Compared with the anti-rollback floor.
    pub security_version: u64,
}

impl Release {
    /// Place of the file.
    pub const PATH: &str = "usr/lib/holdfast/release.toml";

    /// Parses the file.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.message().replace('\n', "; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let text = "version = \"0.1.0\"\nprofile = \"release\"\nsecurity_version = 3\n";
        let release = Release::parse(text).unwrap();
        assert_eq!((release.version.as_str(), release.security_version), ("0.1.0", 3));
        for (bad, part) in [
            ("version = \"0.1.0\"", "security_version"),
            ("version = \"1\"\nsecurity_version = -1", "invalid value"),
            ("version", "expected"),
        ] {
            let error = Release::parse(bad).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }
}
