//! The operator's command line on the device. The binary only parses and runs.
#![forbid(unsafe_code)]

mod audit;
mod bus;
mod certificate;
pub mod checks;
mod cli;
mod failure;
mod identity;
mod renew;
pub mod seal;
mod service;
mod snapshot;
pub mod status;
mod text;
mod token;
mod usb;

pub use cli::{Cli, run};
pub use failure::{Code, Failure};
pub use snapshot::Snapshot;
