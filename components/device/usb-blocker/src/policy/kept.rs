//! The policy that was taken last, on disk: below its version nothing is taken, and what a power cut
//! left undone of it is done later.

use std::path::{Path, PathBuf};

use holdfast_policy_document::{MAX_POLICY_BYTES, Policy, ReadPolicy, read_unverified};

use crate::file::{self, FileError};

/// SHA-256, hexadecimal, and a line break.
const MAX_DIGEST: usize = 65;

/// `policy.jws` and, beside it, `policy.applied`: the digest of the policy whose lists were written.
#[derive(Debug)]
pub struct KeptPolicy {
    document: PathBuf,
    applied: PathBuf,
    kept: Option<ReadPolicy>,
    is_applied: bool,
}

impl KeptPolicy {
    /// Reads what is in the device's folder. The document was verified before it was written there.
    /// The text says what is wrong with one that cannot be read: then there is none.
    pub fn load(folder: &Path) -> (Self, Option<String>) {
        let document = folder.join("policy.jws");
        let applied = folder.join("policy.applied");
        let (kept, error) = match read(&document) {
            Ok(kept) => (kept, None),
            Err(error) => (None, Some(error)),
        };
        let is_applied = kept.as_ref().is_none_or(|kept| {
            let digest = digest(kept);
            file::read(&applied, MAX_DIGEST).is_ok_and(|(bytes, _)| bytes == digest.as_bytes())
        });
        (Self { document, applied, kept, is_applied }, error)
    }

    /// The policy that was taken last.
    pub fn newest(&self) -> Option<&ReadPolicy> {
        self.kept.as_ref()
    }

    /// The policy whose lists are still to be written.
    pub fn pending(&self) -> Option<&Policy> {
        self.kept.as_ref().filter(|_| !self.is_applied).map(|kept| &kept.policy)
    }

    /// Whether it is this one, and its lists are written.
    pub fn is_done(&self, read: &ReadPolicy) -> bool {
        self.is_applied && self.kept.as_ref() == Some(read)
    }

    /// Keeps a policy whose lists are still to be written.
    pub fn keep(&mut self, document: &[u8], read: ReadPolicy) -> Result<(), FileError> {
        file::replace(&self.document, document)?;
        self.kept = Some(read);
        self.is_applied = false;
        Ok(())
    }

    /// Its lists are written.
    pub fn set_applied(&mut self) -> Result<(), FileError> {
        if let Some(kept) = &self.kept {
            file::replace(&self.applied, digest(kept).as_bytes())?;
        }
        self.is_applied = true;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<ReadPolicy>, String> {
    match file::read(path, MAX_POLICY_BYTES) {
        Ok((bytes, _)) => match read_unverified(&bytes) {
            Ok(read) => Ok(Some(read)),
            Err(error) => Err(format!("{}: {error}", path.display())),
        },
        Err(FileError::Missing(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn digest(kept: &ReadPolicy) -> String {
    hex::encode(kept.payload_sha256) + "\n"
}
