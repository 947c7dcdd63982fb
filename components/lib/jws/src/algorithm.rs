//! How the device key signs reports.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A signature algorithm of RFC 7518, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256, salt of 32 bytes.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for keys whose holder cannot make PSS signatures.
    #[serde(rename = "RS256")]
    Rs256,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        })
    }
}
