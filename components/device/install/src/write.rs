//! Writing, and reading back.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use fatfs::{Date, DateTime, FileSystem, FsOptions, Time, TimeProvider};
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};

use crate::{HEAD, Image, InstallError, SiteFiles, Target};

/// Bytes that are copied at once.
const CHUNK: u64 = 4 << 20;
const FOLDER: &str = "holdfast";

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The image goes onto the disk.
    Write,
    /// What is on the disk is compared with the image.
    Verify,
}

/// Told how far a step is, in bytes of the whole.
pub type Progress<'a> = &'a mut dyn FnMut(Step, u64, u64);

/// Writes the image, and the site configuration onto its boot partition. When this returns, all of
/// it is on the disk and was read back.
pub fn write(
    image: &Image,
    site: Option<&SiteFiles>,
    target: &Target,
    progress: Progress<'_>,
) -> Result<(), InstallError> {
    let writing = || InstallError::io(format!("cannot write {}", target.name));
    erase(target, 0..HEAD).map_err(writing())?;
    target.file.sync_all().map_err(writing())?;
    // A backup table of what was there before, and the head of what followed.
    erase(target, target.size - HEAD..target.size).map_err(writing())?;
    erase(target, image.size..image.size + HEAD).map_err(writing())?;
    for range in chunks(image) {
        let chunk = read(&image.file, &range).map_err(InstallError::io("cannot read the image"))?;
        put(target, &chunk, &range).map_err(writing())?;
        progress(Step::Write, range.end, image.size);
    }
    if let Some(site) = site {
        put_site(image, site, target).map_err(writing())?;
    }
    target.file.sync_all().map_err(writing())?;
    verify(image, site, target, progress)?;
    let head = read(&image.file, &(0..HEAD)).map_err(InstallError::io("cannot read the image"))?;
    target.file.write_all_at(&head, 0).map_err(writing())?;
    target.file.sync_all().map_err(writing())?;
    Ok(())
}

/// Most of an image is empty: the disk makes zeros of its own where it can.
fn put(target: &Target, chunk: &[u8], range: &Range<u64>) -> io::Result<()> {
    let is_zero = chunk.iter().all(|&byte| byte == 0);
    let zeros = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if is_zero && fallocate(&target.file, zeros, range.start, range.end - range.start).is_ok() {
        return Ok(());
    }
    target.file.write_all_at(chunk, range.start)
}

fn erase(target: &Target, range: Range<u64>) -> io::Result<()> {
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    target.file.write_all_at(&vec![0; length], range.start)
}

/// All of the image but its head.
fn chunks(image: &Image) -> impl Iterator<Item = Range<u64>> {
    let mut at = HEAD;
    let size = image.size;
    std::iter::from_fn(move || {
        let range = at..(at + CHUNK).min(size);
        at = range.end;
        (!range.is_empty()).then_some(range)
    })
}

fn read(from: &File, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    from.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

fn verify(
    image: &Image,
    site: Option<&SiteFiles>,
    target: &Target,
    progress: Progress<'_>,
) -> Result<(), InstallError> {
    let reading = || InstallError::io(format!("cannot read {}", target.name));
    // What is read must come from the disk, not from memory.
    fadvise(&target.file, 0, None, Advice::DontNeed).map_err(io::Error::from).map_err(reading())?;
    let differs = |offset| InstallError::Different { disk: target.name.clone(), offset };
    for range in chunks(image) {
        let wanted =
            read(&image.file, &range).map_err(InstallError::io("cannot read the image"))?;
        let found = read(&target.file, &range).map_err(reading())?;
        let pages = wanted.chunks(4096).zip(found.chunks(4096)).zip((range.start..).step_by(4096));
        for ((wanted, found), offset) in pages {
            // The site configuration made a difference there; its files are compared below.
            let is_changed = site.is_some() && image.esp.contains(&offset);
            if wanted != found && !is_changed {
                return Err(differs(offset));
            }
        }
        progress(Step::Verify, range.end, image.size);
    }
    if let Some(site) = site {
        let files = boot_files(image, target).map_err(reading())?;
        let folder = files.root_dir().open_dir(FOLDER).map_err(reading())?;
        for (name, wanted) in &site.files {
            let mut found = Vec::new();
            let file = folder.open_file(name).map_err(reading())?;
            file.take(1 << 20).read_to_end(&mut found).map_err(reading())?;
            if found != *wanted {
                return Err(differs(image.esp.start));
            }
        }
    }
    Ok(())
}

fn put_site(image: &Image, site: &SiteFiles, target: &Target) -> io::Result<()> {
    let files = boot_files(image, target)?;
    let folder = files.root_dir().create_dir(FOLDER)?;
    for (name, content) in &site.files {
        let mut file = folder.create_file(name)?;
        file.truncate()?;
        file.write_all(content)?;
        file.flush()?;
    }
    drop(folder);
    files.unmount()
}

fn boot_files<'a>(image: &Image, target: &'a Target) -> io::Result<FileSystem<Window<'a>>> {
    let window = Window { file: &target.file, range: image.esp.clone(), at: 0 };
    FileSystem::new(window, FsOptions::new().time_provider(&NEW_YEAR))
}

/// Firmware refuses to rename files whose date is zero, and the clock of a rescue system may be
/// anything: the image's own files have this date as well.
#[derive(Debug)]
struct FixedDate(Date);

static NEW_YEAR: FixedDate = FixedDate(Date { year: 2026, month: 1, day: 1 });

impl TimeProvider for FixedDate {
    fn get_current_date(&self) -> Date {
        self.0
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.0, time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

/// A part of the disk as a file.
struct Window<'a> {
    file: &'a File,
    range: Range<u64>,
    at: u64,
}

impl Window<'_> {
    fn within(&self, wanted: usize) -> usize {
        let left = (self.range.end - self.range.start).saturating_sub(self.at);
        usize::try_from(left).unwrap_or(usize::MAX).min(wanted)
    }
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.within(buffer.len());
        let read = self.file.read_at(&mut buffer[..length], self.range.start + self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Write for Window<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = self.within(buffer.len());
        let written = self.file.write_at(&buffer[..length], self.range.start + self.at)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let size = self.range.end - self.range.start;
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::other("seek before the start"))?;
        Ok(self.at)
    }
}
