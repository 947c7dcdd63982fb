//! The whole tree, or what of it lies right of where a reader began.

use super::Frontier;
use crate::Hash;

/// Every node of a tree from a leaf on: 64 bytes per leaf. What lies left of the first leaf is
/// there as the frontier that the tree was begun with.
#[derive(Clone, Debug)]
pub struct Tree {
    base: u64,
    size: u64,
    levels: Vec<Level>,
}

/// Complete nodes of one level, of which the first `first` are not kept.
#[derive(Clone, Debug, Default)]
struct Level {
    first: u64,
    nodes: Vec<Hash>,
}

/// A tree does not hold what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} is outside of what is there: records {base} to {size} (exclusive)")]
pub struct NotCovered {
    /// Leaf or size that was asked for.
    pub asked: u64,
    /// First leaf that is there.
    pub base: u64,
    /// Leaves of the tree.
    pub size: u64,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new(&Frontier::default())
    }
}

impl Tree {
    /// A tree that goes on where `frontier` ends.
    pub fn new(frontier: &Frontier) -> Self {
        let base = frontier.size();
        let mut nodes = frontier.nodes().iter().rev();
        let levels = (0..u64::BITS)
            .take_while(|level| base >> level != 0)
            .map(|level| {
                let index = base >> level;
                match if index & 1 == 1 { nodes.next() } else { None } {
                    Some(node) => Level { first: index - 1, nodes: vec![*node] },
                    None => Level { first: index, nodes: Vec::new() },
                }
            })
            .collect();
        Self { base, size: base, levels }
    }

    /// First leaf that was appended here.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Number of leaves, with those before the base.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Level::default());
            }
            let nodes = &mut self.levels[level].nodes;
            nodes.push(node);
            // A right child completes its parent.
            if (self.size >> level) & 1 == 0 {
                break;
            }
            let [.., left, right] = nodes.as_slice() else { break };
            node = Hash::node(left, right);
        }
        self.size += 1;
    }

    /// Takes leaves away from the end until `size` are left; at least those before the base stay.
    pub fn truncate(&mut self, size: u64) {
        self.size = self.size.min(size.max(self.base));
        for (level, kept) in self.levels.iter_mut().enumerate() {
            let count = (self.size >> level).saturating_sub(kept.first);
            kept.nodes.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }

    /// Hash of a leaf.
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        if index < self.base { None } else { self.node(0, index) }
    }

    /// The frontier that the tree had at a size.
    pub fn frontier_at(&self, size: u64) -> Result<Frontier, NotCovered> {
        if !(self.base..=self.size).contains(&size) {
            return Err(self.not_covered(size));
        }
        let level_of = |level: &u32| (size >> level) & 1 == 1;
        let nodes = (0..u64::BITS).rev().filter(level_of).map(|level| {
            self.node(level, (size >> level) - 1).ok_or_else(|| self.not_covered(size))
        });
        Ok(Frontier::from_nodes(size, nodes.collect::<Result<_, _>>()?))
    }

    /// The root that the tree had at a size.
    pub fn root_at(&self, size: u64) -> Result<Hash, NotCovered> {
        self.frontier_at(size).map(|frontier| frontier.root())
    }

    /// Proof that leaf `index` is in the tree of `size` leaves (RFC 9162, section 2.1.3.1).
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, NotCovered> {
        if !(self.base..self.size).contains(&index) {
            return Err(self.not_covered(index));
        }
        if size > self.size || index >= size {
            return Err(self.not_covered(size));
        }
        self.path(index, 0, size).ok_or_else(|| self.not_covered(index))
    }

    /// Proof that the tree of `old` leaves is the beginning of that of `new` leaves (RFC 9162,
    /// section 2.1.4.1). Empty where both are equal or the old one has no leaves.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, NotCovered> {
        if new > self.size {
            return Err(self.not_covered(new));
        }
        if old > new || old < self.base {
            return Err(self.not_covered(old));
        }
        if old == new || old == 0 {
            return Ok(Vec::new());
        }
        // The old tree's last complete subtree is where the two begin to differ.
        let level = old.trailing_zeros();
        let index = (old >> level) - 1;
        let whole = || {
            let mut proof = Vec::new();
            if !old.is_power_of_two() {
                proof.push(self.node(level, index)?);
            }
            proof.extend(self.path(index, level, new)?);
            Some(proof)
        };
        whole().ok_or_else(|| self.not_covered(old))
    }

    /// Siblings on the way from a complete node up to the root of the tree of `size` leaves.
    fn path(&self, index: u64, level: u32, size: u64) -> Option<Vec<Hash>> {
        let (mut index, mut level) = (index, level);
        let mut path = Vec::new();
        // The last node of a level may be incomplete: it is the root of what remains on the right.
        let mut last = (size - 1) >> level;
        while last > 0 {
            let sibling = index ^ 1;
            if sibling < last || (sibling == last && (sibling + 1) << level <= size) {
                path.push(self.node(level, sibling)?);
            } else if sibling == last {
                path.push(self.rest(sibling << level, size)?);
            }
            (index, last, level) = (index >> 1, last >> 1, level + 1);
        }
        Some(path)
    }

    /// Root over the leaves from `start` up to `size`, where `start` begins an incomplete subtree.
    fn rest(&self, start: u64, size: u64) -> Option<Hash> {
        let length = size - start;
        let mut nodes = Vec::new();
        let mut at = start;
        for level in (0..u64::BITS).rev().filter(|level| (length >> level) & 1 == 1) {
            nodes.push(self.node(level, at >> level)?);
            at += 1 << level;
        }
        let last = nodes.pop()?;
        Some(nodes.iter().rev().fold(last, |right, left| Hash::node(left, &right)))
    }

    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        let level = self.levels.get(usize::try_from(level).ok()?)?;
        let place = usize::try_from(index.checked_sub(level.first)?).ok()?;
        level.nodes.get(place).copied()
    }

    fn not_covered(&self, asked: u64) -> NotCovered {
        NotCovered { asked, base: self.base, size: self.size }
    }
}
