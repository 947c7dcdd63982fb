//! `org.holdfast.Audit1`: the log of what happens on the device.
//!
//! Every daemon hands its records in through an [`AuditServiceSink`]; the audit daemon implements
//! [`Audit1Backend`] and calls [`serve`]. The interface as other languages see it is in
//! `rootfs-overlay/usr/share/dbus-1/interfaces/org.holdfast.Audit1.xml`; a test compares the two.

mod backend;
mod interface;
mod proxy;
mod sink;
mod sources;

pub use backend::{Audit1Backend, Page, Record};
pub use interface::{Audit1, serve};
pub use proxy::Audit1Proxy;
pub use sink::AuditServiceSink;
pub use sources::{AuditSources, SourcesError};

/// Well-known name on the system bus.
pub const BUS_NAME: &str = "org.holdfast.Audit1";
/// Path of the one object.
pub const OBJECT_PATH: &str = "/org/holdfast/Audit1";
/// Name of the interface.
pub const INTERFACE: &str = "org.holdfast.Audit1";
