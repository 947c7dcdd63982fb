//! The fuzzers' functions on every input that is known.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn the_fuzzers_do_not_stumble_over_their_corpus() {
    run("usb_rules", targets::rules);
    run("usb_descriptors", targets::descriptors);
}

fn run(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        target(&fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "{name}");
}
