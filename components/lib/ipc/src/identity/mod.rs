//! `org.holdfast.Identity1`: the device's identity.
//!
//! The enroller implements [`IdentityBackend`], keeps a [`StatusPublisher`] and calls [`serve`];
//! everybody else uses [`Identity1Proxy`]. The interface as other languages see it is in
//! `rootfs-overlay/usr/share/dbus-1/interfaces/org.holdfast.Identity1.xml`; a test compares the
//! two.

mod backend;
mod interface;
mod proxy;
mod publish;
mod report;
mod seal_scope;
mod status;

pub use backend::{Certified, Connector, IdentityBackend, Token};
pub use interface::{Identity1, serve};
pub use proxy::{
    CertificateRenewed, CertificateRenewedStream, Identity1Proxy, StateChanged, StateChangedStream,
};
pub use publish::{Changes, StatusPublisher};
pub use report::{ReportError, sign_report};
pub use seal_scope::{MAX_SEAL_BYTES, SealOwner};
pub use status::{IdentityStatus, SignatureMode, State};

/// Well-known name on the system bus.
pub const BUS_NAME: &str = "org.holdfast.Identity1";
/// Path of the one object.
pub const OBJECT_PATH: &str = "/org/holdfast/Identity1";
/// Name of the interface.
pub const INTERFACE: &str = "org.holdfast.Identity1";
