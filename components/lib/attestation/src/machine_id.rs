//! The id of the machine, made of the system UUID of its firmware (`systemd.machine_id=firmware`,
//! machine-id(5)).

use core::fmt;
use core::str::FromStr;

/// System UUIDs that makers left as their firmware's maker had them, in the byte orders in which
/// they are met. Boards that have one have it in common.
const PLACEHOLDERS: [&str; 7] = [
    "00000000000000000000000000000000",
    "ffffffffffffffffffffffffffffffff",
    "03000200040005000006000700080009",
    "00020003000400050006000700080009",
    "12345678123412341234123456789abc",
    "12345678123456781234567812345678",
    "01234567890123456789012345678901",
];

/// The id of one machine: 32 lower-case hexadecimal digits that are no maker's filler.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MachineId(String);

/// Why a text names no machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineIdError {
    /// Not 32 hexadecimal digits.
    #[error("{0:?} is no machine id: expected 32 hexadecimal digits in lower case")]
    Form(String),
    /// Many machines have it.
    #[error(
        "the system UUID {0} is a placeholder that other boards have too; set a UUID with the board maker's tool"
    )]
    Placeholder(String),
}

impl MachineId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MachineId {
    type Err = MachineIdError;

    /// Takes the content of `/etc/machine-id`.
    fn from_str(text: &str) -> Result<Self, MachineIdError> {
        let id = text.trim_end();
        if id.len() != 32 || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(MachineIdError::Form(id.chars().take(64).collect()));
        }
        if PLACEHOLDERS.contains(&id) {
            return Err(MachineIdError::Placeholder(id.to_owned()));
        }
        Ok(Self(id.to_owned()))
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_and_rubbish_name_no_machine() {
        let id = "7d1c9a3f52b84c0e9a60b1f3d2e4c586";
        assert_eq!(format!("{id}\n").parse::<MachineId>().unwrap().as_str(), id);
        for text in PLACEHOLDERS {
            assert_eq!(text.parse::<MachineId>(), Err(MachineIdError::Placeholder(text.into())));
        }
        let upper = id.to_uppercase();
        for text in
            ["", "uninitialized\n", &id[1..], upper.as_str(), "7d1c9a3f-52b8-4c0e-9a60-b1f3"]
        {
            let error = text.parse::<MachineId>().unwrap_err();
            assert!(matches!(error, MachineIdError::Form(_)), "{text}: {error}");
        }
    }
}
