//! The one-time code that an operator carried to the device.

use std::io;
use std::path::Path;

use holdfast_attestation::pairing::{PairingCode, PairingCodeError};
use zeroize::Zeroizing;

/// Name of the credential that carries the code.
const CREDENTIAL: &str = "pairing-code";
/// What the unit puts there if there is none.
const NONE: &str = "none";

/// A code that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PairingUnusable {
    /// The credential cannot be read.
    #[error("cannot read the pairing code from the credential {CREDENTIAL}: {0}")]
    Unreadable(io::Error),
    /// It is no code.
    #[error(
        "holdfast/pairing-code on the boot partition: {0}; write it again as the connector printed it, or remove the file"
    )]
    Invalid(PairingCodeError),
}

/// Reads the code, if there is one, from the service's credentials.
pub fn read(credentials: Option<&Path>) -> Result<Option<PairingCode>, PairingUnusable> {
    let Some(folder) = credentials else { return Ok(None) };
    let text = match std::fs::read_to_string(folder.join(CREDENTIAL)) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PairingUnusable::Unreadable(error)),
    };
    if text.trim() == NONE {
        return Ok(None);
    }
    text.parse().map(Some).map_err(PairingUnusable::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let folder = tempfile::tempdir().unwrap();
        let read = || read(Some(folder.path()));
        assert!(super::read(None).unwrap().is_none());
        assert!(read().unwrap().is_none());
        let code = PairingCode::new([9; 16]).to_string();
        for (text, expected) in [
            ("none", Ok(false)),
            (&format!("{code}\n"), Ok(true)),
            (&code.to_lowercase(), Ok(true)),
            ("", Err("28 letters")),
            ("0000", Err("28 letters")),
            (&code.replace('4', "5"), Err("mistyped")),
        ] {
            std::fs::write(folder.path().join(CREDENTIAL), text).unwrap();
            match (read(), expected) {
                (Ok(found), Ok(there)) => assert_eq!(found.is_some(), there, "{text}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{text}: {error}");
                }
                (found, _) => panic!("{text}: {:?}", found.map(|code| code.is_some())),
            }
        }
    }
}
