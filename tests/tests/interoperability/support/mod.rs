//! A running connector, and the foreign programs.

mod connector;
mod openssl;
mod programs;

pub use connector::Connector;
pub use openssl::{ClientCertificate, Openssl, Purpose};
pub use programs::{python, run};
