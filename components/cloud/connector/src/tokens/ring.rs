//! The keys that sign tokens, and their change: the next key is published before it signs, the
//! former one until the last of its tokens has ended.
//!
//! One file holds them all, so that a crash leaves the old set or the new one.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::key::SigningKey;
use super::{Claims, Jwk, JwkSet, LIFETIME, TokenKeyError};
use crate::files::{self, Readers};

const FORMAT: u32 = 1;
/// Verifiers' clocks may be behind.
const SKEW: Duration = Duration::minutes(5);

/// What a key is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyUse {
    /// It signs.
    Current,
    /// It will sign after the next rotation.
    Next,
    /// It signed; tokens of it may still be out.
    Retired,
}

/// A key, for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStatus {
    /// Name in headers and in the key set.
    pub kid: String,
    /// What it is there for.
    #[serde(rename = "use")]
    pub usage: KeyUse,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub made_at: OffsetDateTime,
    /// When a retired key leaves the set.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub published_until: Option<OffsetDateTime>,
}

/// The keys of one server.
pub struct KeyRing {
    path: PathBuf,
    keys: RwLock<Keys>,
}

struct Keys {
    current: Held,
    next: Held,
    retired: Vec<Retired>,
}

struct Held {
    key: SigningKey,
    pem: Zeroizing<String>,
    made_at: OffsetDateTime,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retired {
    key: Jwk,
    #[serde(with = "time::serde::rfc3339")]
    made_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    published_until: OffsetDateTime,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    current: StoredKey,
    next: StoredKey,
    retired: Vec<Retired>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    #[serde(with = "time::serde::rfc3339")]
    made_at: OffsetDateTime,
    /// PKCS#8 in PEM.
    private_key: Zeroizing<String>,
}

impl KeyRing {
    /// Opens the keys in this file, or makes the first ones.
    pub fn open_or_create(path: &Path, now: OffsetDateTime) -> Result<Self, TokenKeyError> {
        let keys = match files::read_text(path) {
            Ok(text) => {
                let text = Zeroizing::new(text);
                Keys::parse(&text)
                    .map_err(|detail| TokenKeyError::Unusable { path: path.to_owned(), detail })?
            }
            Err(error) if error.is_not_found() => {
                let keys = Keys::fresh(now)?;
                keys.write(path)?;
                keys
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self { path: path.to_owned(), keys: RwLock::new(keys) })
    }

    /// Signs claims: a JWT in compact serialization (RFC 7515, section 7.1).
    pub fn sign(&self, claims: &Claims) -> Result<String, TokenKeyError> {
        let encode = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let claims =
            serde_json::to_value(claims).map_err(|e| TokenKeyError::Crypto(e.to_string()))?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = &keys.current.key;
        let header = serde_json::json!({ "alg": "ES256", "typ": "JWT", "kid": key.jwk().kid() });
        let input = format!("{}.{}", encode(&header), encode(&claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes())?);
        Ok(format!("{input}.{signature}"))
    }

    /// The key set to publish now.
    pub fn jwks(&self, now: OffsetDateTime) -> JwkSet {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let held = [&keys.current, &keys.next].map(|held| held.key.jwk().clone());
        let retired = keys.retired.iter().filter(|retired| now < retired.published_until);
        JwkSet {
            keys: held.into_iter().chain(retired.map(|retired| retired.key.clone())).collect(),
        }
    }

    /// The keys, for operators.
    pub fn status(&self, now: OffsetDateTime) -> Vec<KeyStatus> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let held = |held: &Held, usage| KeyStatus {
            kid: held.key.jwk().kid().to_owned(),
            usage,
            made_at: held.made_at,
            published_until: None,
        };
        let retired = keys.retired.iter().filter(|retired| now < retired.published_until);
        [held(&keys.current, KeyUse::Current), held(&keys.next, KeyUse::Next)]
            .into_iter()
            .chain(retired.map(|retired| KeyStatus {
                kid: retired.key.kid().to_owned(),
                usage: KeyUse::Retired,
                made_at: retired.made_at,
                published_until: Some(retired.published_until),
            }))
            .collect()
    }

    /// The next key signs from now on, and another next one is made. The former key stays
    /// published until its last token has ended; its private half is gone at once.
    pub fn rotate(&self, now: OffsetDateTime) -> Result<(), TokenKeyError> {
        let fresh = Held::fresh(now)?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let next =
            Held::from_pem(&keys.next.pem, keys.next.made_at).map_err(TokenKeyError::Crypto)?;
        let mut retired = keys.retired.clone();
        retired.retain(|retired| now < retired.published_until);
        retired.push(Retired {
            key: keys.current.key.jwk().clone(),
            made_at: keys.current.made_at,
            published_until: now + LIFETIME + SKEW,
        });
        let rotated = Keys { current: next, next: fresh, retired };
        rotated.write(&self.path)?;
        *keys = rotated;
        Ok(())
    }

    /// Replaces every key, because somebody else may have them: nothing that they signed counts
    /// any more for a verifier that fetches the set again.
    pub fn replace(&self, now: OffsetDateTime) -> Result<(), TokenKeyError> {
        let fresh = Keys::fresh(now)?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        fresh.write(&self.path)?;
        *keys = fresh;
        Ok(())
    }
}

impl Held {
    fn fresh(now: OffsetDateTime) -> Result<Self, TokenKeyError> {
        let (key, pem) = SigningKey::generate()?;
        Ok(Self { key, pem, made_at: now })
    }

    fn from_pem(pem: &str, made_at: OffsetDateTime) -> Result<Self, String> {
        let key = SigningKey::from_pem(pem)?;
        Ok(Self { key, pem: Zeroizing::new(pem.to_owned()), made_at })
    }

    fn stored(&self) -> StoredKey {
        StoredKey { made_at: self.made_at, private_key: self.pem.clone() }
    }
}

impl Keys {
    fn fresh(now: OffsetDateTime) -> Result<Self, TokenKeyError> {
        Ok(Self { current: Held::fresh(now)?, next: Held::fresh(now)?, retired: Vec::new() })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let document: Document = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if document.format != FORMAT {
            return Err(format!("format {}, this program knows {FORMAT}", document.format));
        }
        let held = |stored: &StoredKey| Held::from_pem(&stored.private_key, stored.made_at);
        Ok(Self {
            current: held(&document.current).map_err(|error| format!("current: {error}"))?,
            next: held(&document.next).map_err(|error| format!("next: {error}"))?,
            retired: document.retired,
        })
    }

    fn write(&self, path: &Path) -> Result<(), TokenKeyError> {
        let document = Document {
            format: FORMAT,
            current: self.current.stored(),
            next: self.next.stored(),
            retired: self.retired.clone(),
        };
        let text = serde_json::to_string_pretty(&document)
            .map_err(|error| TokenKeyError::Crypto(error.to_string()))?;
        Ok(files::write(path, Zeroizing::new(text).as_bytes(), Readers::Owner)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    fn uses(ring: &KeyRing, now: OffsetDateTime) -> Vec<(String, KeyUse)> {
        ring.status(now).into_iter().map(|status| (status.kid, status.usage)).collect()
    }

    fn published(ring: &KeyRing, now: OffsetDateTime) -> Vec<String> {
        ring.jwks(now).keys.iter().map(|key| key.kid().to_owned()).collect()
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_until_its_tokens_have_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token-keys.json");
        let now = from_unix(1_800_000_000);
        let ring = KeyRing::open_or_create(&path, now).unwrap();
        let before = uses(&ring, now);
        let [(first, KeyUse::Current), (second, KeyUse::Next)] = &before[..] else {
            panic!("{before:?}")
        };
        assert_eq!(published(&ring, now), [first.clone(), second.clone()]);

        ring.rotate(now).unwrap();
        let after = uses(&ring, now);
        assert_eq!(after[0], (second.clone(), KeyUse::Current));
        assert_eq!(after[2], (first.clone(), KeyUse::Retired));
        // What another process reads, or this one after a crash, is the same.
        let reopened = KeyRing::open_or_create(&path, now).unwrap();
        assert_eq!(uses(&reopened, now), after);

        let ended = now + LIFETIME + SKEW;
        assert!(published(&ring, ended - Duration::SECOND).contains(first));
        assert!(!published(&ring, ended).contains(first));
        ring.rotate(now).unwrap();
        assert_eq!(published(&ring, now).len(), 4, "a token of the first key may still be out");
        ring.rotate(ended).unwrap();
        assert_eq!(published(&ring, ended).len(), 3);
    }

    #[test]
    fn replaced_keys_are_gone_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token-keys.json");
        let now = from_unix(1_800_000_000);
        let ring = KeyRing::open_or_create(&path, now).unwrap();
        ring.rotate(now).unwrap();
        let before = published(&ring, now);
        ring.replace(now).unwrap();
        assert!(published(&ring, now).iter().all(|kid| !before.contains(kid)));
    }

    #[test]
    fn the_file_is_the_owners_and_a_damaged_one_is_named() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token-keys.json");
        let now = from_unix(1_800_000_000);
        KeyRing::open_or_create(&path, now).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let good = std::fs::read_to_string(&path).unwrap();
        let table = [
            (String::new(), "EOF"),
            (good.replace("\"format\": 1", "\"format\": 2"), "format 2"),
            (good.replace("BEGIN PRIVATE KEY", "BEGIN PRIVATE CAT"), "current"),
            (good.replace("\"retired\"", "\"returned\""), "returned"),
        ];
        for (content, part) in table {
            std::fs::write(&path, content).unwrap();
            let error = KeyRing::open_or_create(&path, now).err().unwrap().to_string();
            assert!(error.contains("token-keys.json") && error.contains(part), "{error}");
        }
    }
}
