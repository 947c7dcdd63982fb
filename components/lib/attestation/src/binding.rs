//! The value that ties key, device, connection and nonce together in the TPM's signatures.

use crate::edge_id::EdgeId;
use crate::hash::hmac_sha256;

/// Label of the TLS exporter (RFC 8446, 7.5) whose output goes into the binding; no context.
pub const TLS_EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL-holdfast-est-v1";
/// Bytes taken from the TLS exporter.
pub const TLS_EXPORTER_LENGTH: usize = 32;
/// Bytes of the secret in the credential.
pub const SECRET_LENGTH: usize = 32;

const DOMAIN: &[u8] = b"holdfast-est-v1";

/// What is bound.
///
/// No `Debug`: `secret` must not reach a log.
#[derive(Clone, Copy)]
pub struct BindingInput<'a> {
    /// The secret that only the TPM with both EK and AK can recover.
    pub secret: &'a [u8],
    /// The server's nonce.
    pub nonce: &'a [u8],
    /// SHA-256 of the device key's `SubjectPublicKeyInfo`.
    pub spki_sha256: &'a [u8; 32],
    /// The device's name.
    pub edge_id: &'a EdgeId,
    /// Output of the TLS exporter of the connection.
    pub tls_exporter: &'a [u8],
    /// The operator's one-time code; empty if the registration has none.
    pub pairing_code: &'a [u8],
}

/// The qualifying data of `TPM2_Certify` and `TPM2_Quote`.
///
/// HMAC-SHA256 under the secret, over `holdfast-est-v1` and every field with its length (32 bits,
/// big-endian) before it, so that no two inputs give the same message.
pub fn qualifying_data(input: &BindingInput<'_>) -> [u8; 32] {
    let fields = [
        input.nonce,
        input.spki_sha256.as_slice(),
        input.edge_id.as_str().as_bytes(),
        input.tls_exporter,
        input.pairing_code,
    ];
    // A field of 4 GiB cannot arrive here; saturating keeps the conversion total.
    let lengths = fields.map(|field| u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    let mut parts: Vec<&[u8]> = vec![DOMAIN];
    for (length, field) in lengths.iter().zip(fields) {
        parts.push(length);
        parts.push(field);
    }
    hmac_sha256(input.secret, &parts)
}
