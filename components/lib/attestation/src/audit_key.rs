//! The key that signs a log's checkpoints, as the device's TPM certifies it.

use crate::hash::sha256;

/// The qualifying data of `TPM2_Certify` of the audit key: SHA-256 over `holdfast audit key 1\n` and
/// the log's origin, so that a statement about one log's key is none about another's.
pub fn qualifying_data(origin: &str) -> [u8; 32] {
    sha256(&[b"holdfast audit key 1\n", origin.as_bytes()])
}
