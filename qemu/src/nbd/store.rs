use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FallocateFlags;

/// Durable storage of a disk, addressed by byte.
pub trait Store: Send + std::fmt::Debug {
    /// The size in bytes.
    fn size(&self) -> u64;
    /// Fills `buffer` from `offset`; the caller stays within [`Store::size`].
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes `data` at `offset`; the caller stays within [`Store::size`].
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Makes `length` bytes from `offset` read as zeroes.
    fn zero_at(&mut self, offset: u64, length: u64) -> io::Result<()>;
}

impl Store for Box<dyn Store> {
    fn size(&self) -> u64 {
        (**self).size()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, data)
    }
    fn zero_at(&mut self, offset: u64, length: u64) -> io::Result<()> {
        (**self).zero_at(offset, length)
    }
}

/// A raw, usually sparse, disk image file.
#[derive(Debug)]
pub struct FileStore {
    file: File,
    size: u64,
}

impl FileStore {
    /// Opens the image at `path` for reading and writing.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl Store for FileStore {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
    fn zero_at(&mut self, offset: u64, length: u64) -> io::Result<()> {
        punch(&self.file, offset, length)
    }
}

fn punch(file: &File, offset: u64, length: u64) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(file, flags, offset, length) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => write_zeroes(file, offset, length),
        Err(error) => Err(error.into()),
    }
}

fn write_zeroes(file: &File, mut offset: u64, mut length: u64) -> io::Result<()> {
    static CHUNK: [u8; 64 << 10] = [0; 64 << 10];
    while length > 0 {
        let piece = length.min(CHUNK.len() as u64);
        file.write_all_at(&CHUNK[..to_usize(piece)], offset)?;
        offset += piece;
        length -= piece;
    }
    Ok(())
}

/// Lengths here come from buffers or are bounded by one.
fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// A block of an overlay: its number and content.
type Changed<'a> = (&'a u64, &'a Option<Arc<Block>>);

/// The unit in which an overlay holds data, in bytes.
const BLOCK: u64 = BLOCK_LENGTH as u64;
const BLOCK_LENGTH: usize = 4096;
type Block = [u8; BLOCK_LENGTH];

/// A base image that is only read, with every change kept in memory.
///
/// The base may be shorter than the disk: the rest reads as zeroes.
#[derive(Debug)]
pub struct OverlayStore {
    base: File,
    base_size: u64,
    size: u64,
    /// `None` is a block of zeroes.
    blocks: HashMap<u64, Option<Arc<Block>>>,
}

impl OverlayStore {
    /// A disk of `size` bytes that begins with the content of the image at `base`.
    pub fn over(base: &Path, size: u64) -> io::Result<Self> {
        let base = File::open(base)?;
        let base_size = base.metadata()?.len().min(size);
        Ok(Self { base, base_size, size, blocks: HashMap::new() })
    }

    /// An independent copy of this disk over the same base.
    pub(super) fn fork(&self) -> io::Result<Self> {
        Ok(Self { base: self.base.try_clone()?, blocks: self.blocks.clone(), ..*self })
    }

    /// Writes the changes into the image at `path`, which holds a copy of the base.
    pub fn apply_to(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(self.size)?;
        let mut changed: Vec<_> = self.blocks.iter().collect();
        changed.sort_unstable_by_key(|(index, _)| **index);
        // A discarded partition is one hole, not as many as it has blocks.
        let one_hole =
            |a: &Changed<'_>, b: &Changed<'_>| a.1.is_none() && b.1.is_none() && *a.0 + 1 == *b.0;
        for run in changed.chunk_by(one_hole) {
            let (index, block) = run[0];
            let offset = index * BLOCK;
            let length = (run.len() as u64 * BLOCK).min(self.size - offset);
            match block {
                Some(data) => file.write_all_at(&data[..to_usize(length)], offset)?,
                None => punch(&file, offset, length)?,
            }
        }
        Ok(())
    }

    fn read_base(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let available = self.base_size.saturating_sub(offset).min(buffer.len() as u64);
        let (from_base, beyond) = buffer.split_at_mut(to_usize(available));
        beyond.fill(0);
        self.base.read_exact_at(from_base, offset)
    }

    fn block_mut(&mut self, index: u64) -> io::Result<&mut Block> {
        if !self.blocks.contains_key(&index) {
            let mut block = [0; BLOCK_LENGTH];
            self.read_base(index * BLOCK, &mut block)?;
            self.blocks.insert(index, Some(Arc::new(block)));
        }
        let slot = self.blocks.entry(index).or_default();
        Ok(Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; BLOCK_LENGTH]))))
    }
}

/// Cuts a byte range at block borders: (block, offset in the block, length).
fn pieces(offset: u64, length: u64) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + length;
    let mut at = offset;
    std::iter::from_fn(move || {
        (at < end).then(|| {
            let within = at % BLOCK;
            let piece = (BLOCK - within).min(end - at);
            let item = (at / BLOCK, to_usize(within), to_usize(piece));
            at += piece;
            item
        })
    })
}

impl Store for OverlayStore {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut rest = buffer;
        for (block, within, length) in pieces(offset, rest.len() as u64) {
            let (part, tail) = rest.split_at_mut(length);
            match self.blocks.get(&block) {
                Some(Some(data)) => part.copy_from_slice(&data[within..within + length]),
                Some(None) => part.fill(0),
                None => self.read_base(block * BLOCK + within as u64, part)?,
            }
            rest = tail;
        }
        Ok(())
    }
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut rest = data;
        for (block, within, length) in pieces(offset, data.len() as u64) {
            let (part, tail) = rest.split_at(length);
            if let Ok(whole) = Block::try_from(part) {
                self.blocks.insert(block, Some(Arc::new(whole)));
            } else {
                self.block_mut(block)?[within..within + length].copy_from_slice(part);
            }
            rest = tail;
        }
        Ok(())
    }
    fn zero_at(&mut self, offset: u64, length: u64) -> io::Result<()> {
        for (block, within, length) in pieces(offset, length) {
            if length as u64 == BLOCK {
                self.blocks.insert(block, None);
            } else {
                self.block_mut(block)?[within..within + length].fill(0);
            }
        }
        Ok(())
    }
}
