//! Doing work only when its inputs have changed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// A digest over everything that a product is made from.
#[derive(Default)]
pub struct Inputs(Sha256);

impl Inputs {
    /// Adds a value.
    pub fn value(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a file, or every file of a folder with its name and mode.
    pub fn path(mut self, path: &Path) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
            let entry = entry?;
            let name = entry.path().strip_prefix(path).unwrap_or(path);
            let kind = entry.file_type();
            let content = if kind.is_symlink() {
                fs::read_link(entry.path())?.as_os_str().as_encoded_bytes().to_vec()
            } else if kind.is_file() {
                fs::read(entry.path())
                    .with_context(|| format!("read {}", entry.path().display()))?
            } else {
                continue;
            };
            let mode = entry.metadata()?.permissions().mode() & 0o111;
            self = self
                .value(name.as_os_str().as_encoded_bytes())
                .value(mode.to_be_bytes())
                .value(content);
        }
        Ok(self)
    }

    /// The digest in hexadecimal digits.
    pub fn digest(self) -> String {
        hex::encode(self.0.finalize())
    }
}

/// Does `work` unless `product` was made from the same inputs before.
pub fn unless_fresh(product: &Path, inputs: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = stamp_of(product);
    if product.exists() && fs::read_to_string(&stamp).is_ok_and(|s| s == inputs) {
        return Ok(());
    }
    let _ = fs::remove_file(&stamp);
    work()?;
    fs::write(&stamp, inputs).with_context(|| format!("write {}", stamp.display()))
}

fn stamp_of(product: &Path) -> PathBuf {
    let mut name = product.file_name().unwrap_or_default().to_owned();
    name.push(".stamp");
    product.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_do_not_run_together() {
        let one = Inputs::default().value("ab").value("c").digest();
        let other = Inputs::default().value("a").value("bc").digest();
        assert_ne!(one, other);
    }
}
