//! Registry, certificate authority and device API.

fn main() {}
