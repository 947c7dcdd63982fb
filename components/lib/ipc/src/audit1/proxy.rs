//! The client's side.

use zbus::OwnedFd;
use zbus::proxy;

/// Proxy for `org.holdfast.Audit1` on the system bus.
#[proxy(
    interface = "org.holdfast.Audit1",
    default_service = "org.holdfast.Audit1",
    default_path = "/org/holdfast/Audit1"
)]
pub trait Audit1 {
    /// Hands a record in, JSON; its sequence number, or 2^64-1 where it is counted with others.
    fn record(&self, class: &str, record: &str) -> zbus::Result<u64>;

    /// The state of the log, JSON.
    fn status(&self) -> zbus::Result<String>;

    /// Makes everything durable and starts an upload; the log's size.
    fn flush(&self) -> zbus::Result<u64>;

    /// Segments from the one with this record on, and the sequence number to go on with.
    fn export(&self, since: u64) -> zbus::Result<(Vec<OwnedFd>, u64)>;
}
