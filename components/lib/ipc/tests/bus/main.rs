//! The interface over a private message bus, called by foreign clients.
//!
//! Cases that need callers of other users run as root only and say so otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod audit;
mod client;
mod identity;
mod introspection;
mod policy;
mod private_bus;
mod service;
mod usb;
