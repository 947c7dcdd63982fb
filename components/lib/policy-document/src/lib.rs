//! Policies that the cloud gives to one device: JWS in compact serialization (RFC 7515, section
//! 7.1), ES256, with the signer's certificate chain in `x5c`.
//!
//! ```text
//! {"alg":"ES256","typ":"holdfast-policy+jwt","x5c":["<signer>","<issuing CA>"]}
//! {"kind":"usb","device_id":"...","edge_id":"...","version":7,"issued":1800000000,
//!  "rules":"allow 0781:5581\n","ports":"used pci0000:00/0000:00:14.0/hs/1\n"}
//! ```
//!
//! The signer's certificate leads to the site's anchors and is for this purpose alone
//! ([`PURPOSE_POLICY`](holdfast_attestation::oid::PURPOSE_POLICY)). A document is for the device
//! that its audience, `device_id` and `edge_id`, names. Its version grows with every change, so that
//! an old document is never taken again.
//!
//! Whoever makes a document holds no key: [`Unsigned`] says what is to be signed, and takes the
//! signature. No I/O, no clock.
#![forbid(unsafe_code)]

#[cfg(feature = "verifier")]
mod chain;
mod form;
mod make;
mod policy;
#[cfg(feature = "verifier")]
mod verify;

pub use form::{FormError, ReadPolicy, read_unverified};
pub use make::{MakeError, Unsigned};
pub use policy::{Kind, Policy};
#[cfg(feature = "verifier")]
pub use verify::{Expectation, VerifyError, verify};

/// Longest document, bytes.
pub const MAX_POLICY_BYTES: usize = 1024 * 1024;

/// `typ` of the header (RFC 7515, section 4.1.9).
pub const TYPE: &str = "holdfast-policy+jwt";
