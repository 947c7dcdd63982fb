//! How many ports root hubs have: one that is off does not say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::hubs::Controller;
use crate::file::{self, FileError};

/// Far above what a machine's controllers need.
const MAX_BYTES: usize = 64 * 1024;

/// Kept in a file until the next boot: a line `<place> <Mbit/s> <ports>` for each.
#[derive(Debug)]
pub(super) struct RootHubs {
    file: PathBuf,
    counts: BTreeMap<(String, u32), u8>,
}

impl RootHubs {
    /// What is known from earlier in this boot; a file that cannot be read says nothing.
    pub fn open(folder: &Path) -> Self {
        let file = folder.join("root-hubs");
        let text = file::read(&file, MAX_BYTES).map(|(bytes, _)| bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let counts = text.lines().filter_map(|line| {
            let mut words = line.split(' ');
            let (place, mbit, count) = (words.next()?, words.next()?, words.next()?);
            Some(((place.to_owned(), mbit.parse().ok()?), count.parse().ok()?))
        });
        Self { counts: counts.collect(), file }
    }

    /// How many ports a root hub has; none where that is not known.
    pub fn count(&self, controller: &Controller) -> u8 {
        let key = (controller.place.clone(), controller.mbit);
        self.counts.get(&key).copied().unwrap_or(0)
    }

    /// Keeps it.
    pub fn remember(&mut self, controller: &Controller, count: u8) -> Result<(), FileError> {
        let key = (controller.place.clone(), controller.mbit);
        if self.counts.insert(key, count) == Some(count) {
            return Ok(());
        }
        let mut text = String::new();
        for ((place, mbit), count) in &self.counts {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{place} {mbit} {count}");
        }
        file::replace(&self.file, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let hub = |mbit| Controller { place: "pci0000:00/0000:00:05.0".to_owned(), mbit };
        let mut hubs = RootHubs::open(folder.path());
        assert_eq!(hubs.count(&hub(480)), 0);
        hubs.remember(&hub(480), 4).unwrap();
        hubs.remember(&hub(5000), 2).unwrap();
        let again = RootHubs::open(folder.path());
        assert_eq!((again.count(&hub(480)), again.count(&hub(5000))), (4, 2));
        std::fs::write(folder.path().join("root-hubs"), "nonsense\n\n a\n").unwrap();
        assert_eq!(RootHubs::open(folder.path()).count(&hub(480)), 0);
    }
}
