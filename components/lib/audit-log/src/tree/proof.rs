//! Checking proofs; whoever holds a proof needs nothing else of the log.

use crate::Hash;

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// The leaf is not in a tree of this size, or the old tree is larger than the new one.
    #[error("there is no {index} in a tree of {size} leaves")]
    Range {
        /// Leaf, or size of the old tree.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// It has a hash too few or too many.
    #[error("{0} hashes are not the length of this proof")]
    Length(usize),
    /// It leads to another root.
    #[error("the proof leads to root {found}, not {expected}")]
    Root {
        /// Root that was to be reached.
        expected: Hash,
        /// Root that was.
        found: Hash,
    },
}

/// A tree by its size and its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Leaves.
    pub size: u64,
    /// Root.
    pub root: Hash,
}

/// Checks that `leaf` is number `index` in the tree (RFC 9162, section 2.1.3.2).
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    tree: Head,
    proof: &[Hash],
) -> Result<(), BadProof> {
    if index >= tree.size {
        return Err(BadProof::Range { index, size: tree.size });
    }
    let (mut index, mut last) = (index, tree.size - 1);
    let mut root = leaf;
    for sibling in proof {
        if last == 0 {
            return Err(BadProof::Length(proof.len()));
        }
        if index & 1 == 1 || index == last {
            root = Hash::node(sibling, &root);
            // A node without right sibling is its own parent.
            while index & 1 == 0 && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            root = Hash::node(&root, sibling);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    if last != 0 {
        return Err(BadProof::Length(proof.len()));
    }
    same(tree.root, root)
}

/// Checks that the old tree is the beginning of the new one (RFC 9162, section 2.1.4.2).
pub fn verify_consistency(old: Head, new: Head, proof: &[Hash]) -> Result<(), BadProof> {
    if old.size > new.size {
        return Err(BadProof::Range { index: old.size, size: new.size });
    }
    if old.size == new.size || old.size == 0 {
        if !proof.is_empty() {
            return Err(BadProof::Length(proof.len()));
        }
        let expected = if old.size == 0 { super::empty_root() } else { new.root };
        return same(expected, old.root);
    }
    // The old tree is its own first hash where it is one complete subtree.
    let (first, rest) = if old.size.is_power_of_two() {
        (old.root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(BadProof::Length(0))?;
        (*first, rest)
    };
    let (mut index, mut last) = (old.size - 1, new.size - 1);
    while index & 1 == 1 {
        (index, last) = (index >> 1, last >> 1);
    }
    let (mut old_root, mut new_root) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(BadProof::Length(proof.len()));
        }
        if index & 1 == 1 || index == last {
            old_root = Hash::node(sibling, &old_root);
            new_root = Hash::node(sibling, &new_root);
            while index & 1 == 0 && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            new_root = Hash::node(&new_root, sibling);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    if last != 0 {
        return Err(BadProof::Length(proof.len()));
    }
    same(old.root, old_root)?;
    same(new.root, new_root)
}

fn same(expected: Hash, found: Hash) -> Result<(), BadProof> {
    if expected == found { Ok(()) } else { Err(BadProof::Root { expected, found }) }
}
