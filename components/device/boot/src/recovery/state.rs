//! `holdfast-recovery.json` at the top of the state volume: the recovery keys that the device made,
//! wrapped; which of them the cloud has; and audit records that the journal has not got yet.

use holdfast_recovery::{KeySet, Recipient, Verifier, WrappedKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Name of the file.
pub const NAME: &str = "holdfast-recovery.json";
/// Longest file that is read.
pub const LIMIT: u64 = 256 * 1024;
const FORMAT: u32 = 1;

/// What is known about recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    format: u32,
    /// The device's name when the newest key was made.
    pub edge_id: String,
    /// The operator's public key to which the newest key was wrapped, PEM.
    pub recipient: String,
    /// The keys, oldest first.
    pub keys: Vec<Known>,
    /// Audit records, JSON, that wait for the journal.
    #[serde(default)]
    pub records: Vec<String>,
}

/// A recovery key that the device made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The key, wrapped.
    pub wrapped: WrappedKey,
    /// Tells it from others.
    #[serde(with = "hex::serde")]
    verifier: [u8; 32],
    /// The cloud has it.
    pub acknowledged: bool,
    /// Somebody typed it.
    pub used: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            format: FORMAT,
            edge_id: String::new(),
            recipient: String::new(),
            keys: Vec::new(),
            records: Vec::new(),
        }
    }
}

impl Known {
    /// A new key.
    pub fn new(wrapped: WrappedKey, verifier: Verifier) -> Self {
        Self { wrapped, verifier: verifier.0, acknowledged: false, used: false }
    }

    /// Its slot.
    pub fn slot(&self) -> u32 {
        self.wrapped.keyslot
    }

    /// Tells it from others.
    pub fn verifier(&self) -> Verifier {
        Verifier(self.verifier)
    }
}

impl State {
    /// Parses the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let state: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if state.format == FORMAT {
            Ok(state)
        } else {
            Err(format!("it has format {}, expected {FORMAT}", state.format))
        }
    }

    /// The file.
    pub fn to_json(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec_pretty(self).map_err(|error| error.to_string())
    }

    /// What is handed over to the cloud; nothing while there is no key.
    pub fn key_set(&self) -> Result<Option<Vec<u8>>, String> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let keys = self.keys.iter().map(|known| known.wrapped.clone()).collect();
        serde_json::to_vec(&KeySet::new(keys)).map(Some).map_err(|error| error.to_string())
    }

    /// SHA-256 of what is handed over, as the cloud acknowledges it.
    pub fn key_set_sha256(&self) -> Option<[u8; 32]> {
        self.key_set().ok().flatten().map(|set| Sha256::digest(set).into())
    }

    /// The operator's key of the newest key.
    pub fn recipient(&self) -> Option<Recipient> {
        Recipient::from_pem(&self.recipient).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named() {
        let good = String::from_utf8(State::default().to_json().unwrap()).unwrap();
        assert_eq!(State::parse(good.as_bytes()), Ok(State::default()));
        for (bad, part) in [
            (String::new(), "EOF"),
            (good.replace("\"format\": 1", "\"format\": 2"), "format 2"),
            (good.replace("\"edge_id\"", "\"name\""), "unknown field"),
        ] {
            let error = State::parse(bad.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }

    #[test]
    fn nothing_is_handed_over_without_a_key() {
        assert_eq!(State::default().key_set(), Ok(None));
        assert_eq!(State::default().key_set_sha256(), None);
    }
}
