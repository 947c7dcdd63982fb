//! The Merkle tree over the records (RFC 6962, section 2.1; RFC 9162, section 2.1).
//!
//! Who writes a log keeps its [`Frontier`] only: the roots of the complete subtrees, at most 64
//! hashes. Who verifies it keeps the [`Tree`], and makes and checks proofs.

mod frontier;
mod full;
mod proof;

pub use frontier::{Frontier, NotAFrontier};
pub use full::{NotCovered, Tree};
pub use proof::{BadProof, Head, verify_consistency, verify_inclusion};

use crate::Hash;

/// Root of the tree without leaves: the hash of nothing.
pub fn empty_root() -> Hash {
    Hash::of(&[])
}

#[cfg(test)]
mod vectors;
