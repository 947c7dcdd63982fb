//! The fuzzers' functions on every input that is known.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn no_fuzzer_stumbles_over_its_corpus() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in targets::TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(here.join("fuzz/corpus").join(name)).unwrap() {
            let path = entry.unwrap().path();
            eprintln!("{name}: {}", path.display());
            target(&fs::read(path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no input");
    }
}
