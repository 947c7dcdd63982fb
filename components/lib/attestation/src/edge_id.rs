//! The name under which an operator knows a device.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest Edge ID.
const MAX_LENGTH: usize = 64;

/// Values that firmware vendors leave in place of a serial number, in normalised form.
const PLACEHOLDERS: [&str; 22] = [
    "TO BE FILLED BY O.E.M.",
    "TO BE FILLED BY OEM",
    "DEFAULT STRING",
    "SYSTEM SERIAL NUMBER",
    "CHASSIS SERIAL NUMBER",
    "BASE BOARD SERIAL NUMBER",
    "SERIAL NUMBER",
    "SERIALNUMBER",
    "NOT SPECIFIED",
    "NOT APPLICABLE",
    "NOT AVAILABLE",
    "NOT PROVIDED",
    "NONE",
    "NULL",
    "N/A",
    "NA",
    "OEM",
    "O.E.M.",
    "INVALID",
    "UNKNOWN",
    "0123456789",
    "123456789",
];

/// An Edge ID in its normal form: 1 to 64 characters of `A-Z 0-9 . _ : -`.
///
/// Device and server both come here, so that they cannot disagree on what names are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EdgeId(String);

/// Why a text is no Edge ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EdgeIdError {
    /// Nothing is left after trimming.
    #[error(
        "the Edge ID is empty; set the serial number in the firmware or choose another source in site.toml"
    )]
    Empty,
    /// Over 64 characters.
    #[error("the Edge ID has {0} characters, over the limit of {MAX_LENGTH}")]
    TooLong(usize),
    /// A character outside the allowed set.
    #[error(
        "the Edge ID has the character {character:?} at position {position}; allowed are A-Z, 0-9 and . _ : -"
    )]
    Character {
        /// The character.
        character: char,
        /// Its place, from 1.
        position: usize,
    },
    /// Firmware's filler instead of a serial number.
    #[error(
        "{0:?} is a placeholder of the firmware and names no device; set the serial number in the firmware or choose another source in site.toml"
    )]
    Placeholder(String),
}

impl EdgeId {
    /// Normalises and checks: trims blanks and NUL, upper-cases ASCII, refuses placeholders.
    pub fn parse(text: &str) -> Result<Self, EdgeIdError> {
        let normal =
            text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0').to_ascii_uppercase();
        if normal.is_empty() {
            return Err(EdgeIdError::Empty);
        }
        if is_placeholder(&normal) {
            return Err(EdgeIdError::Placeholder(normal));
        }
        let allowed = |c: char| {
            c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | ':' | '-')
        };
        if let Some((index, character)) = normal.chars().enumerate().find(|(_, c)| !allowed(*c)) {
            return Err(EdgeIdError::Character { character, position: index + 1 });
        }
        if normal.len() > MAX_LENGTH {
            return Err(EdgeIdError::TooLong(normal.len()));
        }
        Ok(Self(normal))
    }

    /// The normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Words of [`PLACEHOLDERS`], or one character repeated (`0`, `00000000`, `FFFFFFFF`, `...`, `XXXX`).
fn is_placeholder(normal: &str) -> bool {
    if PLACEHOLDERS.contains(&normal) {
        return true;
    }
    // A device may well be called "7", but "0" and rows of one character are fillers.
    let mut separators_removed =
        normal.chars().filter(|c| !matches!(c, '.' | '_' | ':' | '-' | ' '));
    let Some(first) = separators_removed.next() else { return true };
    let mut count = 1;
    let repeated = separators_removed.all(|c| {
        count += 1;
        c == first
    });
    repeated && (first == '0' || (count >= 4 && matches!(first, 'F' | 'X' | '1' | '9')))
}

impl FromStr for EdgeId {
    type Err = EdgeIdError;

    fn from_str(text: &str) -> Result<Self, EdgeIdError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for EdgeId {
    type Error = EdgeIdError;

    fn try_from(text: String) -> Result<Self, EdgeIdError> {
        Self::parse(&text)
    }
}

impl From<EdgeId> for String {
    fn from(edge_id: EdgeId) -> Self {
        edge_id.0
    }
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
