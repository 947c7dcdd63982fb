//! The signed site configuration.
