//! "newc" archives (kernel: driver-api/early-userspace/buffer-format.rst): mkosi writes the root
//! file system as one, and the initrd is one. Unlike tar they know no sparse files.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, bail};

const MAGIC: &[u8; 6] = b"070701";
const TRAILER: &str = "TRAILER!!!";

/// What a name in the archive stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file and its content.
    File(Vec<u8>),
    /// A symbolic link and its target.
    Link(PathBuf),
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path without a leading slash; empty for the root folder.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// What it is.
    pub kind: Kind,
}

/// Reads all entries. The last name of a hard-linked file carries its content; here each name does.
pub fn read(mut from: impl Read) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut links: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    loop {
        let mut header = [0; 110];
        from.read_exact(&mut header).context("archive ends without a trailer")?;
        if &header[..6] != MAGIC {
            bail!("not a newc archive");
        }
        let field = |n: usize| -> Result<u32> {
            let text = std::str::from_utf8(&header[6 + 8 * n..14 + 8 * n])?;
            Ok(u32::from_str_radix(text, 16)?)
        };
        let (inode, mode, uid, gid, names) =
            (field(0)?, field(1)?, field(2)?, field(3)?, field(4)?);
        let (size, name_size) = (field(6)? as usize, field(11)? as usize);
        let mut name = take(&mut from, name_size)?;
        name.pop();
        skip(&mut from, pad(110 + name_size))?;
        let content = take(&mut from, size)?;
        skip(&mut from, pad(size))?;
        let name = String::from_utf8(name).context("a name is not UTF-8")?;
        if name == TRAILER {
            return Ok(entries);
        }
        let kind = match mode & 0o170_000 {
            0o040_000 => Kind::Folder,
            0o120_000 => Kind::Link(String::from_utf8(content)?.into()),
            0o100_000 => {
                let others = links.entry(inode).or_default();
                if names > 1 {
                    if !content.is_empty() {
                        for &other in others.iter() {
                            set_content(&mut entries, other, &content);
                        }
                    }
                    others.push(entries.len());
                }
                Kind::File(content)
            }
            _ => continue, // devices and sockets have no place in the image
        };
        entries.push(Entry { path: clean(Path::new(&name)), mode: mode & 0o7777, uid, gid, kind });
    }
}

fn set_content(entries: &mut [Entry], index: usize, content: &[u8]) {
    if let Some(entry) = entries.get_mut(index) {
        entry.kind = Kind::File(content.to_vec());
    }
}

fn take(from: &mut impl Read, size: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    from.read_exact(&mut bytes).context("archive is cut short")?;
    Ok(bytes)
}

fn skip(from: &mut impl Read, size: usize) -> Result<()> {
    take(from, size).map(drop)
}

fn pad(size: usize) -> usize {
    size.next_multiple_of(4) - size
}

fn clean(path: &Path) -> PathBuf {
    path.components().filter(|c| matches!(c, Component::Normal(_))).collect()
}

/// Writes an archive; all belongs to root and has no time.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    inode: u32,
}

impl Writer {
    /// Adds a folder.
    pub fn folder(&mut self, name: &str) {
        self.entry(name, &[], 0o040_755);
    }

    /// Adds a file.
    pub fn file(&mut self, name: &str, content: &[u8], executable: bool) {
        self.entry(name, content, if executable { 0o100_755 } else { 0o100_644 });
    }

    fn entry(&mut self, name: &str, content: &[u8], mode: u32) {
        self.inode += 1;
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        self.bytes.extend(MAGIC);
        for field in [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, &[], 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.folder("a");
        writer.file("a/b", b"12345", true);
        let bytes = writer.finish();
        assert_eq!(bytes.len() % 4, 0);
        let entries = read(bytes.as_slice()).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].kind, Kind::Folder);
        assert_eq!(entries[1].path, Path::new("a/b"));
        assert_eq!(entries[1].mode, 0o755);
        assert_eq!(entries[1].kind, Kind::File(b"12345".to_vec()));
    }

    #[test]
    fn a_cut_archive_is_refused_at_every_length() {
        let mut writer = Writer::default();
        writer.file("a", b"12345", false);
        let bytes = writer.finish();
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
    }
}
