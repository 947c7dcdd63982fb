//! The certificate authority: an offline root that devices pin, an issuing CA that signs device
//! and server certificates, and the certificate profiles.
//!
//! The root's key is needed at the first start and for a roll-over only. It lies beside the data
//! as a PKCS#8 file, encrypted where a passphrase is given, else readable by its owner only; the
//! server never opens it again, so an operator moves it off the machine after the first start.

mod authority;
mod key;
mod leaf;
pub mod pkcs7;
mod serial;
mod server;

pub(crate) use authority::pem;
pub use authority::{Authority, Passphrases};
pub use key::{KeyError, Passphrase, read_document_key};
pub use leaf::{Assurance, IssuedLeaf, LeafSubject};
pub use serial::Serial;
pub use server::{ServerCertificate, ServerNames};

use crate::files::FileError;

/// Why the authority could not be opened or could not sign.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file of the authority cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A private key cannot be opened.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A stored certificate is unusable.
    #[error("{name} in the ca folder is not usable: {detail}; restore it from a backup")]
    Certificate {
        /// File name.
        name: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// A certificate could not be made.
    #[error("cannot issue the certificate of {subject}: {source}")]
    Issue {
        /// Whose certificate.
        subject: String,
        /// What the encoder said.
        source: rcgen::Error,
    },
    /// The issuing CA ends before a new certificate would begin.
    #[error("the issuing CA expired at {0}; roll it over with the root key")]
    Expired(time::OffsetDateTime),
    /// The system's random source failed.
    #[error("the system gives no random bytes")]
    Random,
}
