//! Registry, certificate authority and device API: the cloud end of Holdfast.
#![forbid(unsafe_code)]

pub mod access;
pub mod app;
mod asn1;
mod audit;
pub mod ca;
pub mod cli;
pub mod clock;
pub mod data;
pub mod device_api;
pub mod device_audit;
pub mod ek_cas;
pub mod est;
pub mod file_limit;
mod files;
pub mod management;
pub mod public;
pub mod recovery;
pub mod registry;
pub mod releases;
mod reply;
pub mod server;
pub mod sites;
pub mod store;
pub mod tls;
pub mod tokens;
pub mod usb;
