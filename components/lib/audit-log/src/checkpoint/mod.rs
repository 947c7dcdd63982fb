//! Signed checkpoints: C2SP tlog-checkpoint, signed as C2SP signed-note, type 0x02 (ECDSA).
//!
//! ```text
//! holdfast.example/audit/3f9a                            origin
//! 4711                                                   records
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=           root of the tree over them
//! head 1+zU0f5jXnXlRkCxSJPYMRvAIPVkPjBx3tIV1UwzRRE=      hash of the last of them
//! tpm-clock 86400000 12 0 safe                           clock in ms, reset and restart count
//! nv-counter 12
//!
//! — holdfast.example/audit/3f9a base64(key id || signature)
//! ```
//!
//! The last two extension lines are in the first checkpoint of each boot only. The signature is
//! ECDSA on P-256 with SHA-256 over everything up to the empty line, in DER. Whoever makes a
//! checkpoint holds no key: [`Checkpoint::signing_digest`] says what is to be signed, and
//! [`Checkpoint::signed`] takes the signature.

mod boot_binding;
mod error;
mod key;
mod lines;
mod note;

pub use boot_binding::{BootBinding, TpmClock};
pub use error::{CheckpointError, Problem};
pub use key::KeyId;
#[cfg(feature = "verifier")]
pub use key::{AuditKey, NotAKey, NotSigned};
pub use note::{NoteSignature, SignedCheckpoint};

use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{Hash, Origin};

/// State of a log at one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// Which log.
    pub origin: Origin,
    /// Number of records.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// Hash of the last record; [`Origin::genesis`] where there is none.
    pub head: Hash,
    /// In the first checkpoint of a boot.
    pub boot: Option<BootBinding>,
}

impl Checkpoint {
    /// SHA-256 of what is signed.
    pub fn signing_digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_string()).into()
    }

    /// Puts a signature of [`Self::signing_digest`] under the text: ECDSA on P-256, DER.
    pub fn signed(self, key: KeyId, signature_der: Vec<u8>) -> SignedCheckpoint {
        let signature =
            NoteSignature { name: self.origin.as_str().to_owned(), key, bytes: signature_der };
        SignedCheckpoint { checkpoint: self, signatures: vec![signature] }
    }

    /// Reads the lines before the empty one.
    fn parse(lines: &[&str]) -> Result<Self, CheckpointError> {
        let line = |number: usize, what| {
            lines.get(number - 1).copied().ok_or(Problem::Missing(what).on(number))
        };
        let origin = Origin::new(line(1, "the origin")?).map_err(|e| Problem::from(e).on(1))?;
        let size = lines::decimal(line(2, "the size")?, "the size").map_err(|p| p.on(2))?;
        let root = lines::hash(line(3, "the root")?, "the root").map_err(|p| p.on(3))?;
        let head = line(4, "the head")?.strip_prefix("head ").ok_or(Problem::Extension.on(4))?;
        let head = lines::hash(head, "the head").map_err(|p| p.on(4))?;
        let boot = match &lines[4..] {
            [] => None,
            [clock, rest @ ..] => {
                let clock =
                    clock.strip_prefix(BootBinding::CLOCK).ok_or(Problem::Extension.on(5))?;
                let counter = rest.first().ok_or(Problem::Missing("the NV counter").on(6))?;
                let counter =
                    counter.strip_prefix(BootBinding::COUNTER).ok_or(Problem::Extension.on(6))?;
                if rest.len() > 1 {
                    return Err(Problem::Extension.on(7));
                }
                let (clock, counter) = BootBinding::parse(clock, counter);
                Some(BootBinding {
                    clock: clock.map_err(|p| p.on(5))?,
                    nv_counter: counter.map_err(|p| p.on(6))?,
                })
            }
        };
        Ok(Self { origin, size, root, head, boot })
    }
}

/// The text that is signed, each line with its end.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, size, root, head, boot } = self;
        let root = lines::base64(root.as_bytes());
        let head = lines::base64(head.as_bytes());
        write!(f, "{origin}\n{size}\n{root}\nhead {head}\n")?;
        boot.iter().try_for_each(|boot| boot.fmt(f))
    }
}
