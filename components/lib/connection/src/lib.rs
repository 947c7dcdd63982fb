//! How a daemon of the device speaks with the site's connector: whom it believes and at what time,
//! mutual TLS with a key that is elsewhere, HTTP with limits, and when to try again.
#![forbid(unsafe_code)]

pub mod certificate;
pub mod clock;
pub mod peer;
pub mod retry;
pub mod tls;
pub mod trust;
