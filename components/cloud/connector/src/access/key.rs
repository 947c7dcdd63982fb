//! API keys: `hf_<id>_<secret>`. The server keeps a hash of the secret, which has 256 random bits,
//! so that neither salt nor stretching would add anything.

use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::Role;
use crate::registry::Digest;

const PREFIX: &str = "hf";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// A key as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Part of the key that is not secret.
    pub id: String,
    /// What people call it; it stands in audit records.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Hash of the secret.
    pub secret_sha256: Digest,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// By whom.
    pub created_by: String,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
}

/// A key as its holder presents it. No `Debug`: it must not reach a log.
pub struct PresentedKey {
    id: String,
    secret: Zeroizing<String>,
}

/// A text is not an API key.
#[derive(Debug, thiserror::Error)]
#[error("not an API key: expected hf_<id>_<secret>")]
pub struct PresentedKeyError;

impl PresentedKey {
    /// Makes a key.
    pub fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut id = [0; ID_BYTES];
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        aws_lc_rs::rand::fill(&mut id)?;
        aws_lc_rs::rand::fill(secret.as_mut())?;
        Ok(Self { id: hex::encode(id), secret: Zeroizing::new(hex::encode(*secret)) })
    }

    /// The part that is not secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole key.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}_{}_{}", self.id, *self.secret))
    }

    /// Hash of the secret, for the server to keep.
    pub fn secret_sha256(&self) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, self.secret.as_bytes()).as_ref());
        Digest(bytes)
    }

    /// Whether this is the key that the server knows, and not revoked.
    pub fn opens(&self, known: &ApiKey) -> bool {
        let same = self.secret_sha256().0.ct_eq(&known.secret_sha256.0);
        bool::from(same) && known.id == self.id && known.revoked_at.is_none()
    }
}

impl FromStr for PresentedKey {
    type Err = PresentedKeyError;
    fn from_str(text: &str) -> Result<Self, PresentedKeyError> {
        let mut parts = text.split('_');
        let (Some(PREFIX), Some(id), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(PresentedKeyError);
        };
        let is_hex = |text: &str, bytes: usize| {
            text.len() == 2 * bytes && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        if !is_hex(id, ID_BYTES) || !is_hex(secret, SECRET_BYTES) {
            return Err(PresentedKeyError);
        }
        Ok(Self { id: id.to_owned(), secret: Zeroizing::new(secret.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(key: &PresentedKey) -> ApiKey {
        ApiKey {
            id: key.id().to_owned(),
            name: "test".into(),
            role: Role::Admin,
            secret_sha256: key.secret_sha256(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            created_by: "test".into(),
            revoked_at: None,
        }
    }

    #[test]
    fn a_key_opens_itself_only_and_not_after_its_revocation() {
        let key = PresentedKey::random().unwrap();
        let read: PresentedKey = key.reveal().parse().unwrap();
        assert!(read.opens(&known(&key)));
        let other = PresentedKey::random().unwrap();
        assert!(!other.opens(&known(&key)));
        let same_id = PresentedKey { id: key.id.clone(), secret: other.secret.clone() };
        assert!(!same_id.opens(&known(&key)));
        let revoked = ApiKey { revoked_at: Some(OffsetDateTime::UNIX_EPOCH), ..known(&key) };
        assert!(!read.opens(&revoked));
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in ["", "hf", "hf__", "hf_00_11", "hf_0123456789ab_", "sk_0123456789ab_00"] {
            assert!(text.parse::<PresentedKey>().is_err(), "{text}");
        }
    }
}
