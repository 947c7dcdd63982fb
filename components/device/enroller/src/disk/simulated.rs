//! A disk in memory that loses power before a chosen operation.
//!
//! What was not synced may or may not have reached the medium; the two extremes and a torn file
//! are what a file system shows after a cut.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::Disk;

type Files = BTreeMap<String, Vec<u8>>;

/// What became of operations that were not synced when the power went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// Nothing of them reached the medium.
    Lost,
    /// All of them did.
    Kept,
    /// The names did, the contents are cut in half.
    Torn,
}

#[derive(Debug, Default, Clone)]
struct Medium {
    durable: Files,
    seen: Files,
    unsynced_content: BTreeSet<String>,
    operations_left: Option<usize>,
    operations_done: usize,
}

/// Shared, so that a test keeps hold of it while a store owns a clone.
#[derive(Debug, Default, Clone)]
pub struct SimulatedDisk(Arc<Mutex<Medium>>);

impl SimulatedDisk {
    /// Lets `operations` more writing operations pass; all later ones fail.
    pub fn cut_power_after(&self, operations: usize) {
        self.with(|medium| medium.operations_left = Some(operations));
    }

    /// How many writing operations were done so far.
    pub fn operations(&self) -> usize {
        self.with(|medium| medium.operations_done)
    }

    /// The disk as it is found after the cut, with power again.
    #[must_use]
    pub fn after_cut(&self, unsynced: Unsynced) -> Self {
        let medium = self.with(|medium| medium.clone());
        let files = match unsynced {
            Unsynced::Lost => medium.durable,
            Unsynced::Kept => medium.seen,
            Unsynced::Torn => {
                let mut files = medium.seen;
                for name in &medium.unsynced_content {
                    if let Some(content) = files.get_mut(name) {
                        content.truncate(content.len() / 2);
                    }
                }
                files
            }
        };
        Self(Arc::new(Mutex::new(Medium {
            durable: files.clone(),
            seen: files,
            ..Medium::default()
        })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Medium) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn operate(&self, act: impl FnOnce(&mut Medium)) -> io::Result<()> {
        self.with(|medium| {
            if let Some(left) = &mut medium.operations_left {
                *left = left.checked_sub(1).ok_or_else(|| io::Error::other("power cut"))?;
            }
            medium.operations_done += 1;
            act(medium);
            Ok(())
        })
    }
}

impl Disk for SimulatedDisk {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.with(|medium| medium.seen.get(name).cloned()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.with(|medium| medium.seen.keys().cloned().collect()))
    }

    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.operate(|medium| {
            medium.seen.insert(name.to_owned(), content.to_vec());
            medium.unsynced_content.insert(name.to_owned());
        })
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.operate(|medium| {
            medium.unsynced_content.remove(name);
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.operate(|medium| {
            if let Some(content) = medium.seen.remove(from) {
                medium.seen.insert(to.to_owned(), content);
            }
            if medium.unsynced_content.remove(from) {
                medium.unsynced_content.insert(to.to_owned());
            }
        })
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.operate(|medium| {
            medium.seen.remove(name);
            medium.unsynced_content.remove(name);
        })
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.operate(|medium| {
            medium.durable = medium
                .seen
                .iter()
                .map(|(name, content)| {
                    let torn = medium.unsynced_content.contains(name);
                    let kept = if torn { content.len() / 2 } else { content.len() };
                    (name.clone(), content[..kept].to_vec())
                })
                .collect();
        })
    }
}
