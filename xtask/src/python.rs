//! The Python programs that the tests are held against, in versions of their own.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    paths::Paths,
    process,
    stamp::{Inputs, unless_fresh},
};

const REQUIREMENTS: &str = "tests/tests/interoperability/requirements.txt";

/// The interpreter that finds them; they are fetched where they are not there yet.
pub fn provide(paths: &Paths) -> Result<PathBuf> {
    let place = paths.build.join("tools/python");
    let requirements = paths.repository.join(REQUIREMENTS);
    let inputs = Inputs::default().path(&requirements)?.digest();
    unless_fresh(&place, &inputs, || {
        process::step("fetch the Python programs of the interoperability tests", || {
            let log = paths.build.join("log/python.log");
            let _ = fs::remove_dir_all(&place);
            process::run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(&place), &log)?;
            let mut pip = Command::new(place.join("bin/python3"));
            pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input"]);
            pip.args(["--require-hashes", "--requirement"]).arg(&requirements);
            process::run(&mut pip, &log)
        })
    })?;
    Ok(place.join("bin/python3"))
}
