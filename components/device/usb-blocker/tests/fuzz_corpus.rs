//! The fuzzers' functions on every input that is known.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn the_fuzzer_does_not_stumble_over_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/uevents");
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        targets::uevents(&fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0);
}
