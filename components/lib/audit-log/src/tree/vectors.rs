//! Known answers and properties. The eight leaves, their roots and proofs are those that the
//! implementations of Certificate Transparency test with (transparency-dev/merkle,
//! `testonly/constants.go`).

use proptest::prelude::*;

use super::*;

const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// Roots of the trees of 0 to 8 of the leaves.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Proofs by leaf and size.
const INCLUSION: &[(u64, u64, &[&str])] = &[
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// Proofs by old and new size.
const CONSISTENCY: &[(u64, u64, &[&str])] = &[
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn hash(text: &str) -> Hash {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).unwrap();
    Hash::new(bytes)
}

fn hashes(texts: &[&str]) -> Vec<Hash> {
    texts.iter().map(|text| hash(text)).collect()
}

fn leaf(index: u64) -> Hash {
    Hash::leaf(&index.to_be_bytes())
}

/// A tree that was begun at `base` and has `size` leaves.
fn tree(base: u64, size: u64) -> Tree {
    let mut frontier = Frontier::default();
    (0..base).for_each(|index| frontier.push(leaf(index)));
    let mut tree = Tree::new(&frontier);
    (base..size).for_each(|index| tree.push(leaf(index)));
    tree
}

/// The definition of RFC 6962, section 2.1, word by word.
fn defined_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::node(&defined_root(left), &defined_root(right))
        }
    }
}

#[test]
fn known_roots() {
    let (mut frontier, mut tree) = (Frontier::default(), Tree::default());
    assert_eq!(frontier.root(), hash(ROOTS[0]));
    for (data, root) in LEAVES.iter().zip(&ROOTS[1..]) {
        let leaf = Hash::leaf(&hex::decode(data).unwrap());
        frontier.push(leaf);
        tree.push(leaf);
        assert_eq!(frontier.root(), hash(root));
        assert_eq!(tree.root_at(tree.size()), Ok(hash(root)));
    }
}

#[test]
fn known_proofs() {
    let mut tree = Tree::default();
    for data in LEAVES {
        tree.push(Hash::leaf(&hex::decode(data).unwrap()));
    }
    let head = |size: u64| Head { size, root: hash(ROOTS[usize::try_from(size).unwrap()]) };
    for (index, size, known) in INCLUSION {
        let proof = hashes(known);
        assert_eq!(tree.inclusion(*index, *size), Ok(proof.clone()), "{index} in {size}");
        verify_inclusion(tree.leaf(*index).unwrap(), *index, head(*size), &proof).unwrap();
    }
    for (old, new, known) in CONSISTENCY {
        let proof = hashes(known);
        assert_eq!(tree.consistency(*old, *new), Ok(proof.clone()), "{old} to {new}");
        verify_consistency(head(*old), head(*new), &proof).unwrap();
    }
}

#[test]
fn every_proof_of_small_trees_holds_and_no_other() {
    for size in 0..=20 {
        let tree = tree(0, size);
        let head = |size| Head { size, root: tree.root_at(size).unwrap() };
        for index in 0..size {
            let proof = tree.inclusion(index, size).unwrap();
            assert_eq!(verify_inclusion(leaf(index), index, head(size), &proof), Ok(()));
            assert!(verify_inclusion(leaf(index + 1), index, head(size), &proof).is_err());
            let elsewhere = (index + 1) % size;
            if elsewhere != index {
                assert!(verify_inclusion(leaf(index), elsewhere, head(size), &proof).is_err());
            }
            reject_changed(&proof, |p| verify_inclusion(leaf(index), index, head(size), p));
        }
        for old in 0..=size {
            let proof = tree.consistency(old, size).unwrap();
            assert_eq!(verify_consistency(head(old), head(size), &proof), Ok(()), "{old} {size}");
            reject_changed(&proof, |p| verify_consistency(head(old), head(size), p));
            let other = Head { size: old, root: leaf(99) };
            assert!(verify_consistency(other, head(size), &proof).is_err());
        }
        assert!(tree.inclusion(size, size).is_err() && tree.consistency(0, size + 1).is_err());
    }
}

/// A hash more, a hash less, or another hash.
fn reject_changed(proof: &[Hash], verify: impl Fn(&[Hash]) -> Result<(), BadProof>) {
    assert!(verify(&[proof, &[leaf(7)]].concat()).is_err());
    if let [rest @ .., _] = proof {
        assert!(verify(rest).is_err());
    }
    for place in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[place] = leaf(1000);
        assert!(verify(&changed).is_err());
    }
}

proptest! {
    #[test]
    fn root_is_as_defined(size in 0_u64..200) {
        let leaves: Vec<Hash> = (0..size).map(leaf).collect();
        let mut frontier = Frontier::default();
        for leaf in &leaves {
            frontier.push(*leaf);
        }
        prop_assert_eq!(frontier.root(), defined_root(&leaves));
        let again = Frontier::from_bytes(size, &frontier.to_bytes());
        prop_assert_eq!(again, Ok(frontier));
        prop_assert!(Frontier::from_bytes(size, &[0; 31]).is_err());
    }

    #[test]
    fn a_tree_begun_later_tells_the_same(base in 0_u64..100, more in 0_u64..100, at in 0_u64..100) {
        let size = base + more;
        let (whole, later) = (tree(0, size), tree(base, size));
        prop_assert_eq!(later.frontier_at(size), whole.frontier_at(size));
        let at = base + at % (more + 1);
        prop_assert_eq!(later.root_at(at), whole.root_at(at));
        prop_assert_eq!(later.consistency(at, size), whole.consistency(at, size));
        if at < size {
            prop_assert_eq!(later.leaf(at), Some(leaf(at)));
            prop_assert_eq!(later.inclusion(at, size), whole.inclusion(at, size));
        }
        if base > 0 {
            prop_assert!(later.root_at(base - 1).is_err() && later.leaf(base - 1).is_none());
        }
        let mut cut = later.clone();
        cut.truncate(at);
        prop_assert_eq!(cut.root_at(at), whole.root_at(at));
        (at..size).for_each(|index| cut.push(leaf(index)));
        prop_assert_eq!(cut.root_at(size), whole.root_at(size));
    }
}
