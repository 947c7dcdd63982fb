//! Tokens by which devices show third parties who they are: JWTs (RFC 7519) of a quarter of an
//! hour, bound to the device's certificate (RFC 8705), so that one who steals a token without the
//! TPM behind it has nothing.

mod audience;
mod claims;
mod jwk;
mod key;
mod ring;

use std::path::PathBuf;

pub use audience::{Audience, AudienceError, AudienceRecord, Scope, ScopeError};
pub use claims::{Claims, LIFETIME, Shown};
pub use jwk::{Jwk, JwkSet};
pub use ring::{KeyRing, KeyStatus, KeyUse};

use crate::files::FileError;

/// Where the key set is served (RFC 8414, section 2, `jwks_uri`; by custom at this path).
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// Why the signing keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not what a server wrote.
    #[error("{} is not usable: {detail}; restore it from a backup, or remove it: the next start makes new keys, and tokens that are out end with the old ones", path.display())]
    Unusable {
        /// File.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// No key could be made, or it did not sign.
    #[error("the token key cannot be made or used: {0}")]
    Crypto(String),
}
