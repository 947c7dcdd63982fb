//! Wire types and verification of TPM evidence.
//!
//! Without features: what a device and the server say to each other while the device enrols.
//! With `verifier`: the server's side, which makes credentials and judges the evidence.
//! Pure Rust; no input or output, no clock, no random source of its own.
#![forbid(unsafe_code)]

pub mod audit_key;
pub mod binding;
#[cfg(feature = "verifier")]
pub mod challenge;
#[cfg(feature = "verifier")]
pub mod credential;
#[cfg(feature = "verifier")]
pub mod csr;
pub mod edge_id;
pub mod ek;
pub mod evidence;
pub mod hash;
#[cfg(feature = "verifier")]
mod key;
pub mod machine_id;
pub mod nonce;
pub mod oid;
pub mod pairing;
pub mod pcr;
pub mod refusal;
pub mod tpm;
#[cfg(feature = "verifier")]
pub mod verify;

#[cfg(feature = "verifier")]
pub use key::SignatureError;
