//! Keeper of the device's audit log.

fn main() {}
