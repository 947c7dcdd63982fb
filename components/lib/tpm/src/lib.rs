//! Typed TPM operations over libtss2.
//!
//! [`Tpm`] is one connection with one owner. Whatever is loaded through it sits behind a guard
//! ([`Key`], [`Object`]) that frees the TPM's slot when it is dropped: a TPM without resource
//! manager has three. All keys are made under a storage root key that is derived anew when needed,
//! and stored as blobs ([`KeyBlob`]).
#![forbid(unsafe_code)]

mod attest;
mod boot_bound;
mod boot_policy;
mod boot_session;
mod clock;
mod connection;
mod ek;
mod error;
mod key;
mod key_file;
mod nv;
mod pcr;
mod properties;
mod pss;
mod seal;
mod sign;
mod srk;
#[cfg(feature = "swtpm")]
pub mod swtpm;
mod template;

pub use attest::{Credential, Quote, Statement};
pub use boot_policy::BootPolicy;
pub use clock::Clock;
pub use connection::{Object, Tpm};
pub use ek::EkInfo;
pub use error::TpmError;
pub use holdfast_attestation::pcr::PcrValue;
pub use holdfast_attestation::tpm::Name;
pub use key::{Key, KeyBlob};
pub use properties::Properties;
pub use sign::{SignatureMode, SignatureScheme};
