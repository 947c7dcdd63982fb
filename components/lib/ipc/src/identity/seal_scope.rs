//! Whose sealed bytes are whose: every caller has a namespace of its own.
//!
//! The TPM seals SHA-256(owner, name) in front of the plaintext, so that bytes come out only for
//! the owner and name that they went in with. It also keeps other secrets that the TPM sealed
//! under the same policy, such as a disk key, from being opened by this call.

use holdfast_audit_log::ArgumentsDigest;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{CallError, ErrorKind, Name};

/// Most bytes that can be sealed: what a TPM seals (`MAX_SYM_DATA`, TPM 2.0 Part 2, 11.1.14) less
/// the scope.
pub const MAX_SEAL_BYTES: usize = 128 - SCOPE_BYTES;

const SCOPE_BYTES: usize = 32;
const CONTEXT: &[u8] = b"holdfast-seal-v1";

/// The holder of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealOwner {
    /// A user, by uid.
    User(u32),
    /// A service, by unit name.
    Unit(String),
}

fn scope(owner: &SealOwner, name: &Name) -> [u8; SCOPE_BYTES] {
    let name = name.as_str().as_bytes();
    let digest = match owner {
        SealOwner::User(uid) => ArgumentsDigest::of(&[CONTEXT, b"user", &uid.to_be_bytes(), name]),
        SealOwner::Unit(unit) => ArgumentsDigest::of(&[CONTEXT, b"unit", unit.as_bytes(), name]),
    };
    *digest.as_bytes()
}

/// What the TPM shall seal for this owner and name.
pub(super) fn wrap(
    owner: &SealOwner,
    name: &Name,
    plaintext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CallError> {
    if plaintext.is_empty() || plaintext.len() > MAX_SEAL_BYTES {
        return Err(CallError::new(
            ErrorKind::InvalidArgs,
            format!(
                "{} bytes cannot be sealed: 1 to {MAX_SEAL_BYTES} can; seal a key and encrypt \
                 the data with it, as `holdfast seal FILE` does",
                plaintext.len()
            ),
        ));
    }
    let mut wrapped = Zeroizing::new(Vec::with_capacity(SCOPE_BYTES + plaintext.len()));
    wrapped.extend_from_slice(&scope(owner, name));
    wrapped.extend_from_slice(plaintext);
    Ok(wrapped)
}

/// The plaintext, if these bytes were sealed for this owner and name.
pub(super) fn unwrap(
    owner: &SealOwner,
    name: &Name,
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CallError> {
    match wrapped.split_at_checked(SCOPE_BYTES) {
        Some((found, plaintext)) if bool::from(found.ct_eq(&scope(owner, name))) => {
            Ok(Zeroizing::new(plaintext.to_vec()))
        }
        _ => Err(CallError::new(
            ErrorKind::AccessDenied,
            "these bytes were sealed by another user or service, or under another name: \
             only the one who sealed them can open them",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_and_name_open() {
        let name = |name: &str| Name::new(name).unwrap();
        let owners = [
            SealOwner::User(0),
            SealOwner::User(1000),
            SealOwner::Unit("a.service".into()),
            SealOwner::Unit("b.service".into()),
        ];
        let names = [name("file"), name("disk")];
        for owner in &owners {
            for sealed_as in &names {
                let wrapped = wrap(owner, sealed_as, b"secret").unwrap();
                for other in &owners {
                    for opened_as in &names {
                        let opened = unwrap(other, opened_as, &wrapped);
                        if other == owner && opened_as == sealed_as {
                            assert_eq!(opened.unwrap().as_slice(), b"secret");
                        } else {
                            assert_eq!(opened.unwrap_err().kind, ErrorKind::AccessDenied);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn other_secrets_of_the_tpm_do_not_open() {
        let (owner, name) = (SealOwner::User(0), Name::new("file").unwrap());
        for foreign in [&[][..], &[7; 31], &[7; 32], &[7; 64]] {
            assert_eq!(unwrap(&owner, &name, foreign).unwrap_err().kind, ErrorKind::AccessDenied);
        }
    }

    #[test]
    fn size() {
        let (owner, name) = (SealOwner::User(0), Name::new("file").unwrap());
        assert_eq!(wrap(&owner, &name, &[1; MAX_SEAL_BYTES]).unwrap().len(), 128);
        for len in [0, MAX_SEAL_BYTES + 1] {
            let error = wrap(&owner, &name, &vec![1; len]).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidArgs);
        }
    }
}
