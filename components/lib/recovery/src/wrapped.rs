//! A wrapped recovery key on its way from the device to the operator, and the set of them that a
//! device hands over.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::cms;
use crate::{Occasion, Operator, Recipient, RecoveryError, Statement};

const FORMAT: u32 = 1;
/// A device has one key in force, and for a while the one before.
pub const MAX_KEYS: usize = 2;
/// Longest message in PEM.
const MAX_MESSAGE: usize = 8 * 1024;

/// A wrapped recovery key. What stands beside the message is there to find the right one; the
/// operator believes what the message says inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    /// UUID of the LUKS2 volume.
    pub luks_uuid: String,
    /// Its key slot.
    pub keyslot: u32,
    /// When it was made, by the device's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// Why it was made.
    pub occasion: Occasion,
    /// SHA-256 of the operator's public key, hexadecimal.
    pub recipient_sha256: String,
    /// The message: CMS `AuthEnvelopedData` (RFC 5083) in PEM.
    pub message: String,
}

/// What a device hands over: every recovery key that opens its volume, newest last. It takes the
/// place of what was handed over before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySet {
    format: u32,
    /// The keys, newest last.
    pub keys: Vec<WrappedKey>,
}

impl WrappedKey {
    /// Wraps a key to the operator.
    pub fn seal(statement: &Statement, to: &Recipient) -> Result<Self, RecoveryError> {
        Ok(Self {
            luks_uuid: statement.luks_uuid.clone(),
            keyslot: statement.keyslot,
            created: statement.created,
            occasion: statement.occasion,
            recipient_sha256: hex::encode(to.sha256()),
            message: cms::seal(statement.to_toml()?.as_bytes(), to)?,
        })
    }

    /// Opens it. The facts beside the message must be those inside.
    pub fn open(&self, operator: &Operator) -> Result<Statement, RecoveryError> {
        let statement = open_message(&self.message, operator)?;
        let agree = statement.luks_uuid == self.luks_uuid && statement.keyslot == self.keyslot;
        if agree { Ok(statement) } else { Err(RecoveryError::DoesNotOpen) }
    }

    /// SHA-256 of the message.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.message.as_bytes()).into()
    }

    fn check(&self) -> Result<(), RecoveryError> {
        let bad = |what: &str| Err(RecoveryError::Malformed(what.to_owned()));
        if self.message.len() > MAX_MESSAGE {
            return bad("message: it is too long");
        }
        if !is_uuid(&self.luks_uuid) {
            return bad("luks_uuid: it is not a UUID");
        }
        let mut digest = [0; 32];
        if hex::decode_to_slice(&self.recipient_sha256, &mut digest).is_err() {
            return bad("recipient_sha256: it is not 64 hexadecimal digits");
        }
        if self.keyslot > 31 {
            return bad("keyslot: LUKS2 has slots 0 to 31");
        }
        if cms::key_identifier(&self.message)? != digest[..20] {
            return bad("message: it is for another public key than recipient_sha256 says");
        }
        Ok(())
    }
}

/// Opens a message as it is exported to a file.
pub(crate) fn open_message(pem: &str, operator: &Operator) -> Result<Statement, RecoveryError> {
    Statement::parse(&cms::open(pem, operator)?)
}

impl Statement {
    /// Opens a message in PEM that is all there is.
    pub fn open(pem: &str, operator: &Operator) -> Result<Self, RecoveryError> {
        open_message(pem, operator)
    }
}

impl KeySet {
    /// A set of these keys, newest last.
    pub fn new(keys: Vec<WrappedKey>) -> Self {
        Self { format: FORMAT, keys }
    }

    /// Checks what a device has sent.
    pub fn check(&self) -> Result<(), RecoveryError> {
        if self.format != FORMAT {
            return Err(RecoveryError::Malformed(format!("format {}", self.format)));
        }
        if !(1..=MAX_KEYS).contains(&self.keys.len()) {
            let count = self.keys.len();
            return Err(RecoveryError::Malformed(format!("{count} keys, expected 1 or 2")));
        }
        self.keys.iter().try_for_each(WrappedKey::check)
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}
