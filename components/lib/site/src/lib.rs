//! The signed site configuration: to which tenant and connector a device belongs, whom it trusts,
//! and where its Edge ID comes from.
//!
//! Pure: takes bytes, returns a [`Site`] or an error with line and key.
#![forbid(unsafe_code)]

mod document;
mod edge_id_source;
mod error;
mod origin;
mod pem;
mod signature;
mod site;
mod transfer;

pub use edge_id_source::EdgeIdSource;
pub use error::SiteError;
pub use origin::HttpsOrigin;
pub use pem::{Anchor, RecoveryKey};
pub use signature::verify_signature;
pub use site::{Connector, MAX_LENGTH, Site, Tenant};
pub use transfer::{Transfer, TransferError};
