//! The certificate authority: an offline root that devices pin, issuing CAs that sign device and
//! server certificates, the certificate profiles, revocation lists and OCSP answers.
//!
//! The root's key is needed at the first start and for a roll-over only. It lies beside the data
//! as a PKCS#8 file, encrypted where a passphrase is given, else readable by its owner only; the
//! server never opens it again, so an operator moves it off the machine after the first start.

mod authority;
mod certificate;
mod crl;
mod current;
mod delegate;
mod folder;
mod key;
mod ocsp;
pub mod pkcs7;
mod policy;
mod profile;
mod receipt;
mod roll_over;
mod roster;
mod serial;
mod server;

pub use authority::{Authority, IssuedLeaf, Passphrases};
pub use certificate::{CaCertificate, CaCertificateError, CaId, CaIdError};
pub use crl::{Crl, RevokedCertificate};
pub use current::CurrentAuthority;
pub use folder::CaFolder;
pub use key::{KeyError, Passphrase, read_document_key, read_root_key, write_root_key};
pub use ocsp::{OcspAnswer, OcspRefusal, OcspRequest, OcspStatus};
pub use profile::{Assurance, DeviceProfile, LeafSubject, ProfileError, PublicUrl, PublicUrlError};
pub use roll_over::{NewAuthority, NewIssuing, Retirement, retire, roll_issuing, roll_root};
pub use roster::{FormerRoot, IssuingCa, RevokedCa, Root, RootCrl, Roster, RosterError};
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
    /// A stored certificate or the list of them is unusable.
    #[error("{name} in the ca folder is not usable: {detail}; restore it from a backup")]
    Stored {
        /// File name.
        name: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The list of certificates contradicts itself.
    #[error("the authority's certificates: {0}")]
    Roster(#[from] RosterError),
    /// A certificate could not be made.
    #[error("cannot issue the certificate of {subject}: {source}")]
    Issue {
        /// Whose certificate.
        subject: String,
        /// What the encoder said.
        source: ProfileError,
    },
    /// A certificate that was just made cannot be read.
    #[error("the new certificate of {subject} is not usable: {detail}")]
    Made {
        /// Whose certificate.
        subject: String,
        /// What is wrong.
        detail: String,
    },
    /// The issuing CA ends before a new certificate would begin.
    #[error("the issuing CA expired at {0}; roll it over with the root key (ca roll-issuing)")]
    Expired(time::OffsetDateTime),
    /// The root ended: nothing that it signs would be believed.
    #[error("the root expired at {0}; devices need a new site configuration with a new root")]
    RootExpired(time::OffsetDateTime),
    /// Another key was given.
    #[error("the key is not that of root {0}")]
    NotTheRootKey(CaId),
    /// A root is rolled over only when nothing is left of the roll-over before.
    #[error("the overlap with former root {0} lasts; end it first (ca retire {0})")]
    OverlapLasts(CaId),
    /// What signs cannot be taken away.
    #[error("CA {0} is in force; roll it over first (ca roll-issuing, ca roll-root)")]
    InForce(CaId),
    /// The key of a root was given, and none of the CAs that go is below a root that stays.
    #[error("a former root is retired without a root's key: nobody is left to ask for its list")]
    NothingToRevoke,
    /// No CA has this name.
    #[error("there is no CA {0}; ca show lists them")]
    Unknown(CaId),
    /// A passphrase was given for a key that has none.
    #[error("{0} is not encrypted: leave the passphrase out, or encrypt the key first")]
    NotEncrypted(String),
    /// The system's random source failed.
    #[error("the system gives no random bytes")]
    Random,
}

impl CaError {
    fn issue(subject: &str, source: impl Into<ProfileError>) -> Self {
        Self::Issue { subject: subject.to_owned(), source: source.into() }
    }
}
