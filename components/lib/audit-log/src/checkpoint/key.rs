//! The key that signs a log's checkpoints.

use crate::Hash;

/// Short name of a key: the first four bytes of the SHA-256 of its DER `SubjectPublicKeyInfo`
/// (C2SP signed-note, Signature types, 0x02). It tells keys apart and proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// A key's name that was stored.
    pub const fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The name of a key by its DER `SubjectPublicKeyInfo`.
    pub fn of_spki(der: &[u8]) -> Self {
        let [a, b, c, d, ..] = *Hash::of(&[der]).as_bytes();
        Self([a, b, c, d])
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

#[cfg(feature = "verifier")]
pub use verifier::{AuditKey, NotAKey, NotSigned};

#[cfg(feature = "verifier")]
mod verifier {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
    use p256::ecdsa::{Signature, VerifyingKey};
    use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};

    use super::KeyId;
    use crate::Origin;
    use crate::checkpoint::{Checkpoint, SignedCheckpoint};

    /// A text is not a public key on P-256.
    #[derive(Debug, thiserror::Error)]
    #[error("not a public key on P-256 (SubjectPublicKeyInfo): {0}")]
    pub struct NotAKey(p256::pkcs8::spki::Error);

    /// Why a checkpoint is not believed.
    #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    pub enum NotSigned {
        /// It is of another log.
        #[error("the checkpoint is of log {found}, not {expected}")]
        OtherLog {
            /// Its origin.
            found: Origin,
            /// The log that was asked about.
            expected: Origin,
        },
        /// No signature is by this key under the log's name.
        #[error("no signature names this key")]
        NoSignature,
        /// The signature that names this key is not by it over this text.
        #[error("the signature does not match the checkpoint and the key")]
        Mismatch,
    }

    /// The public key of a log.
    #[derive(Clone, Debug)]
    pub struct AuditKey {
        key: VerifyingKey,
        id: KeyId,
        spki: Vec<u8>,
    }

    impl AuditKey {
        /// Reads a PEM `PUBLIC KEY`.
        pub fn from_pem(pem: &str) -> Result<Self, NotAKey> {
            VerifyingKey::from_public_key_pem(pem).map_err(NotAKey).and_then(Self::new)
        }

        /// Reads a DER `SubjectPublicKeyInfo`.
        pub fn from_spki_der(der: &[u8]) -> Result<Self, NotAKey> {
            VerifyingKey::from_public_key_der(der).map_err(NotAKey).and_then(Self::new)
        }

        fn new(key: VerifyingKey) -> Result<Self, NotAKey> {
            let spki = key.to_public_key_der().map_err(NotAKey)?.into_vec();
            Ok(Self { key, id: KeyId::of_spki(&spki), spki })
        }

        /// The key's short name.
        pub fn id(&self) -> KeyId {
            self.id
        }

        /// The key as verifiers of notes take it: `name+hex(id)+base64(0x02 || SPKI)`.
        pub fn to_vkey(&self, origin: &Origin) -> String {
            let key = BASE64_STANDARD.encode([&[2], self.spki.as_slice()].concat());
            format!("{origin}+{}+{key}", hex::encode(self.id.as_bytes()))
        }

        /// Verifies that this key of the log `origin` signed the checkpoint. Signatures of other
        /// keys are not looked at.
        pub fn verify<'a>(
            &self,
            signed: &'a SignedCheckpoint,
            origin: &Origin,
        ) -> Result<&'a Checkpoint, NotSigned> {
            let checkpoint = &signed.checkpoint;
            if checkpoint.origin != *origin {
                let (found, expected) = (checkpoint.origin.clone(), origin.clone());
                return Err(NotSigned::OtherLog { found, expected });
            }
            let ours = |s: &&crate::checkpoint::NoteSignature| {
                s.name == origin.as_str() && s.key == self.id
            };
            let signature = signed.signatures.iter().find(ours).ok_or(NotSigned::NoSignature)?;
            let signature =
                Signature::from_der(&signature.bytes).map_err(|_| NotSigned::Mismatch)?;
            let digest = checkpoint.signing_digest();
            self.key.verify_prehash(&digest, &signature).map_err(|_| NotSigned::Mismatch)?;
            Ok(checkpoint)
        }
    }
}
