//! The recovery key of a device's state volume.
//!
//! The device makes a [`RecoveryKey`], which opens one key slot of the LUKS2 volume, and wraps it
//! in a [`Statement`] to the public key of the operator ([`Recipient`]). What leaves the device is
//! the [`WrappedKey`]: CMS, so that `openssl cms` opens it too. Only the operator's private key
//! ([`Operator`]) opens it. Pure: no I/O.
#![forbid(unsafe_code)]

mod cms;
mod error;
mod key;
mod operator;
mod recipient;
mod statement;
mod wrapped;

pub use error::RecoveryError;
pub use key::{RecoveryKey, Verifier};
pub use operator::Operator;
pub use recipient::Recipient;
pub use statement::{Occasion, Statement};
pub use wrapped::{KeySet, MAX_KEYS, WrappedKey};
