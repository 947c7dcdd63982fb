//! The bench that devices are tried at: a workshop with what the build made, and on it a running
//! connector, a signed site and devices.
//!
//! The end-to-end tests and the project's own commands (`cargo xtask demo`, `device`) use the same.
#![forbid(unsafe_code)]

mod bench;
mod cloud;
mod ports;
pub mod timeline;
mod workshop;

pub use bench::Bench;
pub use cloud::{Client, Cloud, CommandFailed, NewSite};
pub use ports::Ports;
pub use workshop::{Site, Workshop};
