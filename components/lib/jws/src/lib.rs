//! Signatures of reports and statements.
//!
//! A device's reports have detached ones: JWS compact serialization without its payload
//! (RFC 7515, appendix F), over the payload as it is (RFC 7797).
//!
//! ```text
//! BASE64URL({"alg":"PS256","b64":false,"crit":["b64"],"x5t#S256":"..."}) ".." BASE64URL(signature)
//! ```
//!
//! The report travels beside it, as the bytes that were signed. It is a JSON object whose member
//! `edge_id` is the Edge ID of the device, so that a report of one device is never taken for
//! another's. `x5t#S256` names the device certificate whose key signed.
//!
//! Whoever makes a report holds no key: [`Unsigned`] says which digest is to be signed, and takes
//! the signature. No I/O, no clock.
//!
//! Statements of the cloud travel the other way, in an [`Envelope`]: their payload is in them, and so
//! are the certificates of their signer.
#![forbid(unsafe_code)]

mod algorithm;
mod envelope;
mod header;
mod unsigned;
#[cfg(feature = "verifier")]
mod verify;

pub use algorithm::Algorithm;
pub use envelope::{ES256, Envelope, EnvelopeError, EnvelopeHeader, UnsignedEnvelope};
pub use header::thumbprint;
pub use unsigned::{NotAReport, Unsigned};
#[cfg(feature = "verifier")]
pub use verify::{Signer, VerifyError, named_certificate, verify};
