//! The fuzzer's function on every input that is known.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn the_fuzzer_does_not_stumble_over_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/policy_document");
    let inputs: Vec<_> = fs::read_dir(corpus).unwrap().collect();
    assert!(!inputs.is_empty());
    for entry in inputs {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        targets::policy(&fs::read(path).unwrap());
    }
}
