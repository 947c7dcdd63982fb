//! First-boot enroller and keeper of the device's identity.

fn main() {}
