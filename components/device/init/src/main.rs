//! The initrd: finds the verity root on the boot disk and switches to it.

fn main() {}
