//! For whom tokens are made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::registry::Tenant;

const AUDIENCE_LIMIT: usize = 255;
const SCOPE_LIMIT: usize = 64;

/// Who a token is for (`aud`, RFC 7519, section 4.1.3): 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Audience(String);

/// A text is not an audience.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not an audience: expected 1 to 255 visible ASCII characters, as in https://telemetry.example"
)]
pub struct AudienceError(String);

/// One permission (RFC 6749, section 3.3, `scope-token`): 1 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(String);

/// A text is not a scope.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a scope: expected 1 to 64 visible ASCII characters without \" and \\")]
pub struct ScopeError(String);

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl FromStr for Audience {
    type Err = AudienceError;
    fn from_str(text: &str) -> Result<Self, AudienceError> {
        let good = (1..=AUDIENCE_LIMIT).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic());
        if good { Ok(Self(text.to_owned())) } else { Err(AudienceError(shown(text))) }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let good = (1..=SCOPE_LIMIT).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if good { Ok(Self(text.to_owned())) } else { Err(ScopeError(shown(text))) }
    }
}

macro_rules! text {
    ($name:ident, $error:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

text!(Audience, AudienceError);
text!(Scope, ScopeError);

/// An audience for which a tenant's devices may have tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceRecord {
    /// Whose devices.
    pub tenant: Tenant,
    /// The audience.
    pub audience: Audience,
    /// What a token may ask for; none: tokens without a scope only.
    pub scopes: Vec<Scope>,
    /// When it was allowed.
    #[serde(with = "time::serde::rfc3339")]
    pub added_at: OffsetDateTime,
    /// By whom.
    pub added_by: String,
}

impl AudienceRecord {
    /// Reads a space-separated list of scopes; each of them must be allowed.
    pub fn admit(&self, wanted: &str) -> Result<Vec<Scope>, String> {
        let mut scopes = Vec::new();
        for word in wanted.split(' ') {
            let scope: Scope = word.parse().map_err(|e: ScopeError| e.to_string())?;
            if !self.scopes.contains(&scope) {
                return Err(format!("scope \"{scope}\" is not allowed for {}", self.audience));
            }
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        Ok(scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    #[test]
    fn names_are_bounded_and_visible() {
        for good in ["a", "https://telemetry.example/v1?x=\"y\"", &"a".repeat(255)] {
            assert_eq!(good.parse::<Audience>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a\n", "\u{e4}", &"a".repeat(256)] {
            bad.parse::<Audience>().unwrap_err();
        }
        for bad in ["", "a b", "a\"", "a\\", &"a".repeat(65)] {
            bad.parse::<Scope>().unwrap_err();
        }
    }

    #[test]
    fn only_allowed_scopes_are_admitted() {
        let record = |scopes: &[&str]| AudienceRecord {
            tenant: "demo".parse().unwrap(),
            audience: "telemetry".parse().unwrap(),
            scopes: scopes.iter().map(|scope| scope.parse().unwrap()).collect(),
            added_at: from_unix(0),
            added_by: "test".into(),
        };
        let two = record(&["read", "write"]);
        let admitted = |wanted: &str| {
            two.admit(wanted).map(|s| s.iter().map(Scope::as_str).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(admitted("write"), Ok("write".into()));
        assert_eq!(admitted("write read write"), Ok("write read".into()));
        for bad in ["", " ", "read  write", "read admin", "READ"] {
            assert!(admitted(bad).is_err(), "{bad:?}");
        }
        assert!(record(&[]).admit("read").is_err());
    }
}
