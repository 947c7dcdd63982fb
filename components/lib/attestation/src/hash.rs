//! Hash algorithms by their TPM identifiers.

use hmac::digest::{KeyInit, Output};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// A hash algorithm that this project accepts in names, schemes and PCR banks.
///
/// SHA-1 is absent on purpose: nothing that rests on it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgorithm {
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

impl HashAlgorithm {
    /// All algorithms, in the order of their identifiers.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The `TPM_ALG_ID` (TCG Algorithm Registry).
    pub const fn id(self) -> u16 {
        match self {
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
            Self::Sha512 => 0x000d,
        }
    }

    /// The algorithm with this `TPM_ALG_ID`, if it is an accepted one.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.id() == id)
    }

    /// Length of a digest in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of the concatenation of `parts`.
    pub fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            parts.iter().fold(D::new(), D::chain_update).finalize().to_vec()
        }
        match self {
            Self::Sha256 => of::<Sha256>(parts),
            Self::Sha384 => of::<Sha384>(parts),
            Self::Sha512 => of::<Sha512>(parts),
        }
    }

    /// The HMAC of the concatenation of `parts`.
    #[cfg(feature = "verifier")]
    pub(crate) fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha256 => keyed::<Hmac<Sha256>>(key, parts).to_vec(),
            Self::Sha384 => keyed::<Hmac<Sha384>>(key, parts).to_vec(),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key, parts).to_vec(),
        }
    }
}

/// SHA-256 of the concatenation of `parts`.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), Sha256::chain_update).finalize().into()
}

/// HMAC-SHA256 of the concatenation of `parts`.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    keyed::<Hmac<Sha256>>(key, parts).into()
}

fn keyed<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Output<M> {
    // HMAC takes keys of every length, the error cannot occur.
    let Ok(mac) = <M as KeyInit>::new_from_slice(key) else { unreachable!("HMAC refused a key") };
    parts.iter().fold(mac, M::chain_update).finalize().into_bytes()
}
