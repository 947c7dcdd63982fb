//! First-boot enroller and keeper of the device's identity.

#![forbid(unsafe_code)]

pub mod certificate;
pub mod clock;
pub mod disk;
pub mod retry;
pub mod state;
pub mod store;
pub mod trust;
