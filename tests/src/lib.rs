//! End-to-end tests on booted devices.
