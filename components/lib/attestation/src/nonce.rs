//! Bodies of `POST /.well-known/est/nonce` (draft-ietf-lamps-attestation-freshness, with own
//! information types in its two open fields).

use serde::{Deserialize, Serialize};

use crate::edge_id::EdgeId;
use crate::oid;

/// Media type of both bodies.
pub const MEDIA_TYPE: &str = "application/est-attestation-freshness+json";
/// Length of the nonce that a device asks for.
pub const NONCE_LENGTH: u16 = 32;
/// Longest body that is parsed: a few certificates and keys fit many times.
pub const MAX_BODY: usize = 64 * 1024;

/// What the device asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NonceRequest {
    /// Length of the nonce in bytes, [`NONCE_LENGTH`].
    pub len: u16,
    /// What the device tells.
    #[serde(rename = "reqTypeInfo")]
    pub type_info: RequestTypeInfo,
}

/// Type and value of what the device tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestTypeInfo {
    /// [`oid::NONCE_REQUEST_INFO`].
    #[serde(rename = "type")]
    pub oid: String,
    /// The value.
    #[serde(rename = "reqInfo")]
    pub info: RequestInfo,
}

/// What the device tells about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestInfo {
    /// Its name.
    pub edge_id: EdgeId,
    /// `TPMT_PUBLIC` of its EK.
    #[serde(with = "base64url")]
    pub ek_public: Vec<u8>,
    /// DER of the EK's certificate, then of intermediate CAs; may be empty.
    #[serde(with = "base64url_list")]
    pub ek_certificates: Vec<Vec<u8>>,
    /// `TPMT_PUBLIC` of its AK.
    #[serde(with = "base64url")]
    pub ak_public: Vec<u8>,
    /// SHA-256 of the device key's `SubjectPublicKeyInfo`.
    #[serde(with = "base64url_digest")]
    pub device_key_spki_sha256: [u8; 32],
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonceResponse {
    /// The nonce.
    #[serde(with = "base64url")]
    pub nonce: Vec<u8>,
    /// Seconds for which it may be used.
    pub expiry: u64,
    /// The challenge.
    #[serde(rename = "respTypeInfo")]
    pub type_info: ResponseTypeInfo,
}

/// Type and value of the challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseTypeInfo {
    /// [`oid::NONCE_RESPONSE_INFO`].
    #[serde(rename = "type")]
    pub oid: String,
    /// The value.
    #[serde(rename = "respInfo")]
    pub info: ResponseInfo,
}

/// The challenge to the TPM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseInfo {
    /// Contents of the `TPM2B_ID_OBJECT` for `TPM2_ActivateCredential`.
    #[serde(with = "base64url")]
    pub credential_blob: Vec<u8>,
    /// Contents of the `TPM2B_ENCRYPTED_SECRET`.
    #[serde(with = "base64url")]
    pub encrypted_secret: Vec<u8>,
    /// The PCRs to quote.
    pub pcrs: Vec<u8>,
}

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NonceError {
    /// Over [`MAX_BODY`].
    #[error("the body has {0} bytes, over the limit of {MAX_BODY}")]
    TooLong(usize),
    /// Not the JSON that is expected.
    #[error("the body is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// The information is of another type.
    #[error("the information type is {found}, expected {expected}")]
    Type {
        /// The type found.
        found: String,
        /// The type expected.
        expected: &'static str,
    },
    /// The nonce has an unusual length.
    #[error("a nonce of {0} bytes was asked for or given, expected {NONCE_LENGTH}")]
    Length(usize),
}

impl NonceRequest {
    /// A request with this information.
    pub fn new(info: RequestInfo) -> Self {
        let oid = oid::NONCE_REQUEST_INFO.as_str().to_owned();
        Self { len: NONCE_LENGTH, type_info: RequestTypeInfo { oid, info } }
    }

    /// Parses a body.
    pub fn from_json(json: &[u8]) -> Result<Self, NonceError> {
        let request: Self = parse(json)?;
        check_type(&request.type_info.oid, oid::NONCE_REQUEST_INFO)?;
        if request.len != NONCE_LENGTH {
            return Err(NonceError::Length(request.len.into()));
        }
        Ok(request)
    }

    /// Writes a body.
    pub fn to_json(&self) -> Result<Vec<u8>, NonceError> {
        Ok(serde_json::to_vec(self)?)
    }
}

impl NonceResponse {
    /// A response with this nonce, lifetime in seconds and challenge.
    pub fn new(nonce: Vec<u8>, expiry: u64, info: ResponseInfo) -> Self {
        let oid = oid::NONCE_RESPONSE_INFO.as_str().to_owned();
        Self { nonce, expiry, type_info: ResponseTypeInfo { oid, info } }
    }

    /// Parses a body.
    pub fn from_json(json: &[u8]) -> Result<Self, NonceError> {
        let response: Self = parse(json)?;
        check_type(&response.type_info.oid, oid::NONCE_RESPONSE_INFO)?;
        if response.nonce.len() != usize::from(NONCE_LENGTH) {
            return Err(NonceError::Length(response.nonce.len()));
        }
        Ok(response)
    }

    /// Writes a body.
    pub fn to_json(&self) -> Result<Vec<u8>, NonceError> {
        Ok(serde_json::to_vec(self)?)
    }
}

fn parse<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, NonceError> {
    if json.len() > MAX_BODY {
        return Err(NonceError::TooLong(json.len()));
    }
    Ok(serde_json::from_slice(json)?)
}

fn check_type(found: &str, expected: oid::HoldfastOid) -> Result<(), NonceError> {
    if found == expected.as_str() {
        return Ok(());
    }
    // The text is the peer's; a log line needs no more of it.
    let found = found.chars().take(80).collect();
    Err(NonceError::Type { found, expected: expected.as_str() })
}

/// Bytes as base64url text without padding (RFC 4648, 5).
mod base64url {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as CODEC};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&CODEC.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        CODEC.decode(text).map_err(|error| {
            D::Error::custom(format!("expected base64url without padding: {error}"))
        })
    }
}

mod base64url_digest {
    use serde::{Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        super::base64url::serialize(digest, serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        super::base64url::deserialize(deserializer)?
            .try_into()
            .map_err(|bytes: Vec<u8>| D::Error::invalid_length(bytes.len(), &"32 bytes"))
    }
}

mod base64url_list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Item(#[serde(with = "super::base64url")] Vec<u8>);

    pub fn serialize<S: Serializer>(list: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| Item(bytes.clone())))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        let items = Vec::<Item>::deserialize(deserializer)?;
        Ok(items.into_iter().map(|item| item.0).collect())
    }
}
