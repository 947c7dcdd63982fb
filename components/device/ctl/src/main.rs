//! The operator's command line on the device.

fn main() {}
