use std::env;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use holdfast_tests::Workshop;

/// A test's own folder, and what the build made.
#[derive(Debug)]
pub struct Trial {
    /// What the build made.
    pub workshop: Workshop,
    /// Empty at the start.
    pub folder: PathBuf,
}

/// How a test ends.
pub type Outcome = Result<(), Failure>;

/// What went wrong, as text for people. Unlike [`Error`] it prints no backtrace of the test itself.
pub struct Failure(String);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(format!("{error:#}"))
    }
}

/// Runs a test. Its folder goes when it passes; when it fails the folder stays, and the error shows
/// the end of each console and where the whole transcript is.
pub fn trial(name: &str, test: impl FnOnce(&Trial) -> Result<()>) -> Outcome {
    let folder = scratch().join(name);
    remove(&folder)?;
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let trial = Trial { workshop: workshop()?, folder };
    match test(&trial) {
        Ok(()) => Ok(remove(&trial.folder)?),
        Err(error) => Err(Failure(with_consoles(&error, &trial.folder))),
    }
}

/// Adds what the devices in a folder last said.
pub fn with_consoles(error: &Error, folder: &Path) -> String {
    const LINES: usize = 40;
    let mut text = format!("{error:#}\nkept for a look: {}", folder.display());
    let mut shown = transcripts(folder);
    if shown.is_empty() {
        // The test only looked at what a boot of all tests has left.
        let stages = fs::read_dir(scratch()).into_iter().flatten().flatten();
        let stages =
            stages.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"stage-"));
        shown = stages.flat_map(|stage| transcripts(&stage.path())).collect();
        shown.sort();
    }
    for transcript in shown {
        let content = fs::read(&transcript).unwrap_or_default();
        let content = String::from_utf8_lossy(&content);
        let lines: Vec<&str> = content.lines().collect();
        let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
        // Writing to a String cannot fail.
        let _ = write!(text, "\n--- the end of {} ---\n{tail}", transcript.display());
    }
    text
}

/// `<device>/runs/<number>/console.log`, in order.
fn transcripts(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect()
    };
    let runs = entries(folder).into_iter().flat_map(|device| entries(&device.join("runs")));
    let mut found: Vec<PathBuf> =
        runs.map(|run| run.join("console.log")).filter(|log| log.is_file()).collect();
    found.sort();
    found
}

/// The folder of everything that is built.
pub fn build() -> PathBuf {
    env::var_os("HOLDFAST_BUILD").map_or_else(|| repository().join("build"), PathBuf::from)
}

/// The repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where the tests' folders are. It can be deleted at any time.
pub fn scratch() -> PathBuf {
    build().join("tests")
}

/// What the build made, by the variables that `cargo xtask test` sets, or where it usually is.
pub fn workshop() -> Result<Workshop> {
    let cloud = env::var_os("HOLDFAST_CLOUD_PROGRAM")
        .map_or_else(|| repository().join("target/cloud/holdfast-cloud"), PathBuf::from);
    Workshop::open(&build(), &cloud).context("build what the tests need with `cargo xtask test`")
}

/// Deletes a folder, if it is there.
pub fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
