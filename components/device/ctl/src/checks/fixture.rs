//! A machine made of files.

use std::{fs, path::Path};

use super::{Context, Finding, Outcome};
use crate::{Snapshot, bus::Units};

pub(super) struct Fixture {
    _dir: tempfile::TempDir,
    pub(super) context: Context,
}

/// The time of every fixture.
pub(super) const NOW: i64 = 1_764_000_000;

impl Fixture {
    /// Nothing is there and nothing answers.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let context = Context {
            root: dir.path().to_owned(),
            now: NOW,
            identity: Err("no service".into()),
            units: Err("no systemd".into()),
            usb: Err("no daemon".into()),
        };
        Self { _dir: dir, context }
    }

    pub(super) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.context.root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// A device mapper device with its name and UUID.
    pub(super) fn mapped(self, device: &str, name: &str, uuid: &str) -> Self {
        self.file(&format!("sys/block/{device}/dm/name"), format!("{name}\n"))
            .file(&format!("sys/block/{device}/dm/uuid"), format!("{uuid}\n"))
    }

    pub(super) fn identity(mut self, identity: Snapshot) -> Self {
        self.context.identity = Ok(identity);
        self
    }

    pub(super) fn units(mut self, units: Units) -> Self {
        self.context.units = Ok(units);
        self
    }

    /// Runs a check and compares the outcome and a part of its text or advice.
    pub(super) fn expect(&self, run: fn(&Context) -> Finding, outcome: Outcome, part: &str) {
        let finding = run(&self.context);
        let said = format!("{} {}", finding.text, finding.advice.as_deref().unwrap_or_default());
        assert!(finding.outcome == outcome && said.contains(part), "{part}: {finding:?}");
        assert_eq!(finding.advice.is_none(), outcome == Outcome::Ok, "{finding:?}");
    }
}
