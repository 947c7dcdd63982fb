//! Files that the image or the unit provides.

use std::path::{Path, PathBuf};

/// A file that the image or the unit should have provided.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not valid.
    #[error("{path}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads a text file and parses it.
pub fn parse<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(&text).map_err(|reason| ConfigError::Invalid { path: path.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        let number = |text: &str| text.parse::<u8>().map_err(|error| error.to_string());
        assert!(parse(&path, number).unwrap_err().to_string().contains("a.toml"));
        std::fs::write(&path, "x").unwrap();
        let error = parse(&path, number).unwrap_err().to_string();
        assert!(error.ends_with("a.toml: invalid digit found in string"), "{error}");
        std::fs::write(&path, "7").unwrap();
        assert_eq!(parse(&path, number).unwrap(), 7);
    }
}
