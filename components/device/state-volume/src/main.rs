//! Opens, checks and creates the encrypted state volume behind the anti-rollback gate.

fn main() {}
