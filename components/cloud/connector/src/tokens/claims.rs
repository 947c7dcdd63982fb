//! What a token says.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use holdfast_attestation::hash::sha256;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Audience, Scope};
use crate::registry::{Device, Tenant};

/// How long a token is good for.
pub const LIFETIME: Duration = Duration::minutes(15);

/// The claims of a token (RFC 7519, section 4; `scope` of RFC 8693, section 4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// `urn:holdfast:<tenant>`, the prefix of the URI in the devices' certificates.
    pub iss: String,
    /// Device id.
    pub sub: Uuid,
    /// For whom.
    pub aud: Audience,
    /// Name of the device in the field.
    pub edge_id: String,
    /// Owner.
    pub tenant: Tenant,
    /// Seconds since 1970.
    pub iat: i64,
    /// Seconds since 1970.
    pub nbf: i64,
    /// Seconds since 1970.
    pub exp: i64,
    /// Differs from token to token.
    pub jti: Uuid,
    /// What the holder may do there, space-separated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Who may use it.
    pub cnf: Confirmation,
}

/// The certificate without whose key the token is worth nothing (RFC 8705, section 3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// SHA-256 of the certificate's DER, base64url.
    #[serde(rename = "x5t#S256")]
    certificate_thumbprint: String,
}

/// The certificate that a device showed when it asked.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// DER.
    pub certificate_der: &'a [u8],
    /// Its end.
    pub not_after: OffsetDateTime,
}

impl Claims {
    /// The claims of a token for this device, which ends with the certificate at the latest.
    pub fn new(
        device: &Device,
        shown: Shown<'_>,
        audience: Audience,
        scopes: &[Scope],
        now: OffsetDateTime,
    ) -> Self {
        let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(sha256(&[shown.certificate_der]));
        Self {
            iss: format!("urn:holdfast:{}", device.tenant),
            sub: device.id,
            aud: audience,
            edge_id: device.edge_id.clone(),
            tenant: device.tenant.clone(),
            iat: now.unix_timestamp(),
            nbf: now.unix_timestamp(),
            exp: (now + LIFETIME).min(shown.not_after).unix_timestamp(),
            jti: Uuid::new_v4(),
            scope: (!scopes.is_empty()).then(|| scopes.join(" ")),
            cnf: Confirmation { certificate_thumbprint: thumbprint },
        }
    }
}
