//! Before anything else may use the device: site configuration, anti-rollback gate, state volume.

fn main() {}
