//! The fuzzer's function on every input that is known.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod target;

#[test]
fn the_fuzzer_does_not_stumble_over_its_corpus() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut inputs = 0;
    for folder in [here.join("fuzz/corpus/site"), here.join("tests/data")] {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            eprintln!("{}", path.display());
            target::site(&fs::read(path).unwrap());
            inputs += 1;
        }
    }
    assert!(inputs > 0);
}
