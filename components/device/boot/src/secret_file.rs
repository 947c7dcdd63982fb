//! A secret for another program to read, in memory only.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
    os::fd::AsRawFd as _,
    path::PathBuf,
};

use rustix::fs::{MemfdFlags, memfd_create};

/// A file without a name; it is gone when it is dropped.
pub struct SecretFile(File);

impl SecretFile {
    /// A file with this content.
    pub fn new(content: &str) -> Result<Self, String> {
        let make = || -> std::io::Result<File> {
            let mut file = File::from(memfd_create("secret", MemfdFlags::CLOEXEC)?);
            file.write_all(content.as_bytes())?;
            file.rewind()?;
            Ok(file)
        };
        make().map(Self).map_err(|error| format!("cannot hand a key to another program: {error}"))
    }

    /// Its path for a child of this process that runs as the same user.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_reads_it_and_afterwards_it_is_gone() {
        let secret = SecretFile::new("cbde").unwrap();
        let path = secret.path();
        for _ in 0..2 {
            let read = std::process::Command::new("cat").arg(&path).output().unwrap();
            assert_eq!(read.stdout, b"cbde");
        }
        drop(secret);
        assert!(!path.exists());
    }
}
