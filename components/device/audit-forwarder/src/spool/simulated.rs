//! A folder that can lose power, and fail.

use std::collections::BTreeMap;
use std::io;

use super::{Disk, SpoolError};

/// What can happen to a file or name.
#[derive(Clone, Debug)]
enum Effect {
    Write { name: String, at: u64, content: Vec<u8> },
    Cut { name: String, len: u64 },
    Put { name: String, content: Vec<u8> },
    Rename { from: String, to: String },
    Remove { name: String },
}

type Files = BTreeMap<String, Vec<u8>>;

fn apply(files: &mut Files, effect: &Effect) {
    match effect {
        Effect::Write { name, at, content } => {
            let file = files.entry(name.clone()).or_default();
            let at = usize::try_from(*at).unwrap();
            file.resize(file.len().max(at + content.len()), 0);
            file[at..at + content.len()].copy_from_slice(content);
        }
        Effect::Cut { name, len } => {
            files.entry(name.clone()).or_default().resize(usize::try_from(*len).unwrap(), 0);
        }
        Effect::Put { name, content } => drop(files.insert(name.clone(), content.clone())),
        Effect::Rename { from, to } => {
            if let Some(content) = files.remove(from) {
                files.insert(to.clone(), content);
            }
        }
        Effect::Remove { name } => drop(files.remove(name)),
    }
}

/// The folder. Everything is durable when its call returns, as the trait says.
#[derive(Clone, Debug, Default)]
pub struct Simulated {
    files: Files,
    log: Vec<Effect>,
    /// The next so many operations fail.
    pub failures: usize,
}

impl Simulated {
    fn act(&mut self, effect: Effect) -> Result<(), SpoolError> {
        if self.failures > 0 {
            self.failures -= 1;
            // Half of it happened.
            if let Effect::Write { name, at, content } = &effect {
                let content = content[..content.len() / 2].to_vec();
                let half = Effect::Write { name: name.clone(), at: *at, content };
                apply(&mut self.files, &half);
                self.log.push(half);
            }
            let source = io::Error::from(io::ErrorKind::StorageFull);
            return Err(SpoolError::Io { act: "write", path: "simulated".to_owned(), source });
        }
        apply(&mut self.files, &effect);
        self.log.push(effect);
        Ok(())
    }

    /// Number of effects so far.
    pub fn effects(&self) -> usize {
        self.log.len()
    }

    /// The folder after a power cut while effect number `cut` was written: of a write, `percent`
    /// of its bytes are there, and of these the second half may be zeros.
    #[must_use]
    pub fn after_cut(&self, cut: usize, percent: usize, has_hole: bool) -> Self {
        let mut files = Files::new();
        for (index, effect) in self.log.iter().enumerate().take(cut + 1) {
            match effect {
                Effect::Write { name, at, content } if index == cut => {
                    let kept = content.len() * percent / 100;
                    let mut content = content[..kept].to_vec();
                    // A sector that was allocated and not written.
                    if has_hole {
                        let half = content.len() / 2;
                        content[half..].fill(0);
                    }
                    apply(&mut files, &Effect::Write { name: name.clone(), at: *at, content });
                }
                _ if index == cut => {}
                effect => apply(&mut files, effect),
            }
        }
        Self { files, ..Self::default() }
    }

    /// The files.
    pub fn files(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.files.iter()
    }

    /// Changes a file's bytes behind the spool's back.
    ///
    /// # Panics
    /// Where there is no such file.
    pub fn tamper(&mut self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.files.get_mut(name).unwrap());
    }
}

impl Disk for Simulated {
    fn list(&mut self) -> Result<Vec<String>, SpoolError> {
        Ok(self.files.keys().cloned().collect())
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, SpoolError> {
        Ok(self.files[name].clone())
    }

    fn len(&mut self, name: &str) -> Result<u64, SpoolError> {
        Ok(self.files[name].len() as u64)
    }

    fn create(&mut self, name: &str, content: &[u8]) -> Result<(), SpoolError> {
        let new = format!("{name}.new");
        self.act(Effect::Put { name: new.clone(), content: content.to_vec() })?;
        self.act(Effect::Rename { from: new, to: name.to_owned() })
    }

    fn append(&mut self, name: &str, at: u64, content: &[u8]) -> Result<(), SpoolError> {
        self.act(Effect::Write { name: name.to_owned(), at, content: content.to_vec() })
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), SpoolError> {
        self.act(Effect::Cut { name: name.to_owned(), len })
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), SpoolError> {
        self.act(Effect::Rename { from: from.to_owned(), to: to.to_owned() })
    }

    fn remove(&mut self, name: &str) -> Result<(), SpoolError> {
        self.act(Effect::Remove { name: name.to_owned() })
    }
}
