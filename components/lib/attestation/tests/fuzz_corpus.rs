//! The fuzzers' functions on every input that is known.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn no_fuzzer_stumbles_over_its_corpus() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in targets::TARGETS {
        let corpus = here.join("fuzz/corpus").join(name);
        let mut inputs = 0;
        for folder in [corpus, here.join("tests/data")] {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                eprintln!("{name}: {}", path.display());
                target(&fs::read(path).unwrap());
                inputs += 1;
            }
        }
        assert!(inputs > 0, "{name} has no input");
    }
}
