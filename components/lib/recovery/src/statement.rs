//! What is encrypted: the key, and which lock of which device it opens.
//!
//! The facts stand beside the key in one authenticated message, so that nobody who holds the
//! message can pass the key of one device off as another's.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{RecoveryError, RecoveryKey};

const FORMAT: u32 = 1;

/// Why a recovery key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// The volume had none.
    First,
    /// The site names another public key.
    NewOperator,
    /// The one before was used.
    Recovery,
}

impl Occasion {
    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::NewOperator => "new-operator",
            Self::Recovery => "recovery",
        }
    }
}

/// A recovery key and what it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The device's name.
    pub edge_id: String,
    /// UUID of the LUKS2 volume.
    pub luks_uuid: String,
    /// Its key slot.
    pub keyslot: u32,
    /// When it was made, by the device's clock.
    pub created: OffsetDateTime,
    /// Why it was made.
    pub occasion: Occasion,
    /// The key.
    pub key: RecoveryKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    edge_id: String,
    luks_uuid: String,
    keyslot: u32,
    #[serde(with = "time::serde::rfc3339")]
    created: OffsetDateTime,
    occasion: Occasion,
    recovery_key: Zeroizing<String>,
}

impl Statement {
    pub(crate) fn to_toml(&self) -> Result<Zeroizing<String>, RecoveryError> {
        let file = File {
            format: FORMAT,
            edge_id: self.edge_id.clone(),
            luks_uuid: self.luks_uuid.clone(),
            keyslot: self.keyslot,
            created: self.created,
            occasion: self.occasion,
            recovery_key: Zeroizing::new(self.key.as_str().to_owned()),
        };
        toml::to_string(&file).map(Zeroizing::new).map_err(|e| RecoveryError::Wrap(e.to_string()))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, RecoveryError> {
        let text = core::str::from_utf8(bytes).map_err(RecoveryError::malformed)?;
        // The error's own text would show the line, and with it the key.
        let file: File =
            toml::from_str(text).map_err(|error| RecoveryError::malformed(error.message()))?;
        if file.format != FORMAT {
            return Err(RecoveryError::Malformed(format!("format {}", file.format)));
        }
        Ok(Self {
            edge_id: file.edge_id,
            luks_uuid: file.luks_uuid,
            keyslot: file.keyslot,
            created: file.created,
            occasion: file.occasion,
            key: file.recovery_key.parse()?,
        })
    }
}
