//! Registry, certificate authority and device API: the cloud end of Holdfast.
#![forbid(unsafe_code)]

pub mod access;
mod asn1;
mod audit;
pub mod ca;
pub mod clock;
mod files;
pub mod registry;
pub mod releases;
pub mod sites;
pub mod store;
pub mod tls;
