//! The root file system: Debian's packages, our overlay, our programs, as one archive.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

use super::cpio::{self, Entry, Kind};

/// A root file system in memory, by path. Nothing in it carries extended attributes: the image has
/// no file capabilities.
pub struct Root(BTreeMap<PathBuf, Entry>);

impl Root {
    /// Reads the archive that mkosi made.
    pub fn read(archive: &Path) -> Result<Self> {
        let file = File::open(archive).with_context(|| format!("open {}", archive.display()))?;
        let entries = cpio::read(BufReader::new(file))
            .with_context(|| format!("read {}", archive.display()))?;
        Ok(Self(entries.into_iter().map(|e| (e.path.clone(), e)).collect()))
    }

    /// The content of a file.
    pub fn file(&self, path: &str) -> Result<&[u8]> {
        match self.0.get(Path::new(path)).map(|e| &e.kind) {
            Some(Kind::File(content)) => Ok(content),
            _ => anyhow::bail!("the root file system has no file {path}"),
        }
    }

    /// The files below a folder.
    pub fn files_below<'a>(
        &'a self,
        folder: &'a str,
    ) -> impl Iterator<Item = (&'a Path, &'a [u8])> {
        self.0
            .range(PathBuf::from(folder)..)
            .take_while(move |(path, _)| path.starts_with(folder))
            .filter_map(|(path, entry)| match &entry.kind {
                Kind::File(content) => Some((path.as_path(), content.as_slice())),
                _ => None,
            })
    }

    /// Puts a file that belongs to root in place of what is there.
    pub fn put(&mut self, path: &str, content: impl Into<Vec<u8>>, executable: bool) {
        let mode = if executable { 0o755 } else { 0o644 };
        self.insert(Path::new(path), mode, Kind::File(content.into()));
    }

    /// Puts a folder's tree over what is there; everything in it belongs to root.
    pub fn put_tree(&mut self, folder: &Path) -> Result<()> {
        for entry in walkdir::WalkDir::new(folder).min_depth(1).sort_by_file_name() {
            let entry = entry?;
            let path = entry.path().strip_prefix(folder)?;
            let kind = entry.file_type();
            if kind.is_symlink() {
                self.insert(path, 0o777, Kind::Link(fs::read_link(entry.path())?));
            } else if kind.is_file() {
                let content = fs::read(entry.path())
                    .with_context(|| format!("read {}", entry.path().display()))?;
                let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
                self.insert(path, if executable { 0o755 } else { 0o644 }, Kind::File(content));
            }
        }
        Ok(())
    }

    /// Takes a folder away, with all that is in it.
    pub fn remove_tree(&mut self, folder: &str) {
        self.0.retain(|path, _| !path.starts_with(folder));
    }

    fn insert(&mut self, path: &Path, mode: u32, kind: Kind) {
        for parent in path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()) {
            self.0.entry(parent.to_path_buf()).or_insert_with(|| Entry {
                path: parent.to_path_buf(),
                mode: 0o755,
                uid: 0,
                gid: 0,
                kind: Kind::Folder,
            });
        }
        self.0.insert(
            path.to_path_buf(),
            Entry { path: path.to_path_buf(), mode, uid: 0, gid: 0, kind },
        );
    }

    /// Writes everything as a tar archive, in the order of names. Times are `epoch`, so that the
    /// same content gives the same archive.
    pub fn write_tar(&self, epoch: u64, output: &Path) -> Result<()> {
        let file = File::create(output).with_context(|| format!("create {}", output.display()))?;
        let mut builder = Builder::new(BufWriter::new(file));
        for entry in self.0.values() {
            append(&mut builder, entry, epoch).with_context(|| entry.path.display().to_string())?;
        }
        builder.into_inner()?.flush()?;
        Ok(())
    }
}

fn append(builder: &mut Builder<impl Write>, entry: &Entry, epoch: u64) -> Result<()> {
    let path = if entry.path.as_os_str().is_empty() { Path::new("./") } else { &entry.path };
    let mut header = Header::new_gnu();
    header.set_uid(entry.uid.into());
    header.set_gid(entry.gid.into());
    header.set_mode(entry.mode);
    header.set_mtime(epoch);
    header.set_size(0);
    match &entry.kind {
        Kind::Folder => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, path, io::empty())?;
        }
        Kind::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, path, target)?;
        }
        Kind::File(content) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content.as_slice())?;
        }
    }
    Ok(())
}
