//! The tree's right edge: all that is needed to append and to tell the root.

use super::empty_root;
use crate::Hash;
use crate::reader::Reader;

/// Roots of the complete subtrees that a tree of this size consists of, largest first: one for
/// each bit that is set in the size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

/// Bytes are not a frontier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tree of size {size} has {needed} bytes of frontier, not {found}")]
pub struct NotAFrontier {
    /// Leaves of the tree.
    pub size: u64,
    /// Length needed, bytes.
    pub needed: usize,
    /// Length found, bytes.
    pub found: usize,
}

impl Frontier {
    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The subtrees' roots, largest subtree first.
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.nodes.pop() else { break };
            node = Hash::node(&left, &node);
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else { return empty_root() };
        nodes.fold(*last, |right, left| Hash::node(left, &right))
    }

    /// The nodes one after the other, 32 bytes each. The size stands beside them.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.nodes.iter().flat_map(|node| *node.as_bytes()).collect()
    }

    /// Reads the nodes of a tree of `size` leaves.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, NotAFrontier> {
        let needed = Self::encoded_len(size);
        if bytes.len() != needed {
            return Err(NotAFrontier { size, needed, found: bytes.len() });
        }
        let mut reader = Reader(bytes);
        let nodes = std::iter::from_fn(|| reader.array().map(Hash::new)).collect();
        Ok(Self { size, nodes })
    }

    /// Length of the frontier of a tree of `size` leaves, bytes.
    pub fn encoded_len(size: u64) -> usize {
        // 64 nodes at most.
        size.count_ones() as usize * Hash::LEN
    }

    pub(super) fn from_nodes(size: u64, nodes: Vec<Hash>) -> Self {
        Self { size, nodes }
    }
}
