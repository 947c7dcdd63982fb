//! Boots that several tests look at. Each happens once per run of the tests: the first test that
//! needs it boots the device, the others get copies of what it left.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use holdfast_qemu::{Device, Line};
use holdfast_tests::{Bench, Workshop};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::console::read_transcript;
use super::trial::{Trial, remove, scratch, with_consoles};

/// Name of the device at every stage.
pub const DEVICE: &str = "device";

/// What a boot has left: the bench with device and cloud, and what was seen.
#[derive(Debug)]
pub struct Stage {
    folder: PathBuf,
    record: Record,
}

/// A file beside the bench, written last.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// Which run of the tests, of which build.
    made_for: String,
    /// What was seen, or why it came to nothing.
    outcome: Result<Value, String>,
}

const RECORD: &str = "stage.json";

impl Record {
    /// A boot that failed is not tried again in the same run of the tests.
    fn serves(&self, made_for: &str) -> bool {
        self.made_for == made_for && (self.outcome.is_ok() || !reuses_stages())
    }
}

impl Stage {
    /// The stage of this name; `make` boots it in an empty folder and tells what it saw.
    pub fn get(
        workshop: &Workshop,
        name: &str,
        make: impl FnOnce(&Path) -> Result<Value>,
    ) -> Result<Self> {
        let folder = scratch().join(format!("stage-{name}"));
        fs::create_dir_all(scratch()).context("create the tests' folder")?;
        // One device at a time, even if somebody runs the tests in parallel.
        let lock = File::create(scratch().join(format!("stage-{name}.lock")))?;
        lock.lock().context("wait for another test")?;
        let made_for = made_for(workshop)?;
        let there = fs::read(folder.join(RECORD)).ok().and_then(|text| {
            serde_json::from_slice(&text).ok().filter(|record: &Record| record.serves(&made_for))
        });
        let record = if let Some(record) = there {
            record
        } else {
            remove(&folder)?;
            fs::create_dir_all(&folder)?;
            let outcome = make(&folder).map_err(|error| with_consoles(&error, &folder));
            let record = Record { made_for, outcome };
            fs::write(folder.join(RECORD), serde_json::to_vec_pretty(&record)?)?;
            record
        };
        if let Err(error) = &record.outcome {
            bail!("the {name} boot, which this test needs, failed: {error}");
        }
        Ok(Self { folder, record })
    }

    /// What was seen.
    pub fn seen(&self) -> &Value {
        self.record.outcome.as_ref().unwrap_or(&Value::Null)
    }

    /// A text of what was seen.
    pub fn text(&self, key: &str) -> Result<&str> {
        self.seen()[key].as_str().with_context(|| format!("the stage has no text {key:?}"))
    }

    /// A number of what was seen.
    pub fn number(&self, key: &str) -> Result<u64> {
        self.seen()[key].as_u64().with_context(|| format!("the stage has no number {key:?}"))
    }

    /// A file of the stage, to be read only.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The console's lines of the boot.
    pub fn lines(&self) -> Result<Vec<Line>> {
        read_transcript(Path::new(self.text("transcript")?))
    }

    /// A copy of the bench as the boot left it, with its cloud running.
    pub fn bench(&self, trial: &Trial) -> Result<Bench> {
        self.bench_in(&trial.workshop, &trial.folder)
    }

    /// The same in another folder.
    pub fn bench_in(&self, workshop: &Workshop, folder: &Path) -> Result<Bench> {
        copy(&self.folder.join("cloud"), &folder.join("cloud"))?;
        for file in ["site.toml", "site.toml.sig", "operator.pem"] {
            copy(&self.folder.join(file), &folder.join(file))?;
        }
        Bench::open(workshop, folder)
    }

    /// A copy of the device as the boot left it.
    pub fn device(&self, bench: &Bench, folder: &Path) -> Result<Device> {
        let original = Device::open(&self.folder.join(DEVICE), bench.workshop().toolchain())?;
        Ok(original.duplicate(&folder.join(DEVICE))?)
    }
}

/// For those who work on a test: `HOLDFAST_TESTS_REUSE` keeps stages from run to run.
fn reuses_stages() -> bool {
    env::var_os("HOLDFAST_TESTS_REUSE").is_some()
}

/// Names the run of the tests and the image.
fn made_for(workshop: &Workshop) -> Result<String> {
    let measurement = workshop.measurement("release");
    let text = fs::read_to_string(&measurement).with_context(|| {
        format!(
            "read {}: build it with `cargo xtask image --profile release`",
            measurement.display()
        )
    })?;
    let run = if reuses_stages() {
        "any".to_owned()
    } else {
        // Without nextest all tests are one process.
        env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| std::process::id().to_string())
    };
    Ok(format!("{run} {text}"))
}

/// Copies a file or a folder.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        fs::copy(from, to).with_context(|| format!("copy {}", from.display()))?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry?;
        ensure!(!entry.file_type()?.is_symlink(), "{} is a link", entry.path().display());
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
