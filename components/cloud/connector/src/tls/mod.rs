//! Listeners, all but one of them TLS: configuration, the accept loop, and what is known of a connection.

mod config;
mod connection;
mod identity;
mod limits;
mod listener;
mod transport;
mod write_limit;

pub use config::{TlsError, device_config, enrolment_config, management_config, provider};
pub use connection::Connection;
pub use identity::ServerIdentity;
pub use limits::{Rate, TokenBuckets, TooMany};
pub use listener::{Listener, Timeouts};
pub use transport::{SharedTls, Transport};
