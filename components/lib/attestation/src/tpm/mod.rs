//! TPM 2.0 structures as the TPM marshals them (TCG TPM 2.0 Library, Part 2).
//!
//! The parsers take exactly one encoding of each value: what they accept marshals back to the same
//! bytes, so that a Name computed from a parsed structure is the Name of the bytes received.

mod attest;
mod attributes;
mod buffer;
mod name;
mod pcr_selection;
mod public;
mod signature;

pub use attest::{Attest, Attested, ClockInfo};
pub use attributes::ObjectAttributes;
pub use buffer::{Bounded, DecodeError};
pub use name::Name;
pub use pcr_selection::{PcrSelection, PcrSelections};
pub use public::{
    EccCurve, EccScheme, KdfScheme, KeyedHashScheme, Parameters, Public, RsaScheme, SpkiError,
    Symmetric, SymmetricMode,
};
pub use signature::Signature;
