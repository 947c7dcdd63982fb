//! A boot that went well takes the counters off the name of its UKI, so that the boot loader starts
//! it from then on without counting.
//!
//! This is systemd-bless-boot's work, done so that a power cut at any instant leaves a UKI to start:
//! see [`holdfast_disk::fat`].

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    process::ExitCode,
};

use holdfast_disk::fat::{FatError, rename_in_place};
use rustix::fs::OFlags;

use crate::{
    boot_counting::Counted,
    boot_disk::{BootDisk, BootDiskError},
    console::{milestone, note},
    files::FileError,
    places::Places,
};

/// Why the boot loader counts on.
#[derive(Debug, thiserror::Error)]
enum BlessError {
    #[error("cannot read what the boot loader counts: {0}")]
    Counting(io::Error),
    #[error(transparent)]
    Disk(#[from] BootDiskError),
    #[error("{device}: {source}")]
    Name { device: String, source: FatError },
    #[error(transparent)]
    Device(#[from] FileError),
}

/// The verb.
pub fn run(places: &Places) -> ExitCode {
    let blessed = Counted::read(places).map_err(BlessError::Counting).and_then(|counted| {
        let Some(counted) = counted else { return Ok(None) };
        let device = BootDisk::find(places)?.esp()?;
        take_off_counters(&device, &counted)?;
        Ok(Some(counted.good_name))
    });
    match blessed {
        Ok(Some(name)) => {
            milestone(format_args!("boot is good uki={name}"));
            ExitCode::SUCCESS
        }
        Ok(None) => {
            note("the boot loader does not count tries of this release");
            ExitCode::SUCCESS
        }
        Err(why) => {
            milestone(format_args!("boot stays on trial: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn take_off_counters(device: &Path, counted: &Counted) -> Result<(), BlessError> {
    let error = |what| FileError::at(format!("cannot {what} {}", device.display()));
    // Exclusive: a mounted file system would be changed under its driver.
    let exclusive = i32::try_from(OFlags::EXCL.bits()).unwrap_or_default();
    let disk = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(exclusive)
        .open(device)
        .map_err(error("open"))?;
    let folder: Vec<&str> = counted.folder.iter().map(String::as_str).collect();
    let read = |offset, into: &mut [u8]| disk.read_exact_at(into, offset);
    let edits = rename_in_place(read, &folder, &counted.name, &counted.good_name)
        .map_err(|source| BlessError::Name { device: device.display().to_string(), source })?;
    for edit in edits {
        disk.write_all_at(&edit.sector, edit.offset).map_err(error("write"))?;
        File::sync_all(&disk).map_err(error("flush"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

    use super::*;

    fn counted(name: &str) -> Counted {
        Counted {
            folder: vec!["EFI".to_owned(), "Linux".to_owned()],
            name: name.to_owned(),
            good_name: "holdfast_1.efi".to_owned(),
            tries_left: 2,
        }
    }

    #[test]
    fn counters_are_taken_off_once() {
        let mut bytes = vec![0; 36 << 20];
        let options =
            FormatVolumeOptions::new().fat_type(fatfs::FatType::Fat32).bytes_per_cluster(512);
        fatfs::format_volume(Cursor::new(&mut bytes), options).unwrap();
        let files = FileSystem::new(Cursor::new(&mut bytes), FsOptions::new()).unwrap();
        let folder = files.root_dir().create_dir("EFI").unwrap().create_dir("Linux").unwrap();
        folder.create_file("holdfast_1+2-1.efi").unwrap();
        drop(folder);
        files.unmount().unwrap();
        let image = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(image.path(), &bytes).unwrap();

        let missing = take_off_counters(image.path(), &counted("other+2-1.efi")).unwrap_err();
        assert!(missing.to_string().contains("there is no other+2-1.efi"), "{missing}");
        assert_eq!(std::fs::read(image.path()).unwrap(), bytes);
        for _ in 0..2 {
            take_off_counters(image.path(), &counted("holdfast_1+2-1.efi")).unwrap();
        }
        let blessed = Cursor::new(std::fs::read(image.path()).unwrap());
        let files = FileSystem::new(blessed, FsOptions::new()).unwrap();
        let folder = files.root_dir().open_dir("EFI/Linux").unwrap();
        let names: Vec<_> = folder.iter().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [".", "..", "holdfast_1.efi"]);
    }

    #[test]
    fn a_release_that_is_not_counted_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::from_options(&[format!("--root={}", root.path().display())]).unwrap();
        assert_eq!(run(&places), ExitCode::SUCCESS);
        let raw = crate::boot_counting::testing::variable(&[r"\EFI\Linux\a+1.efi"]);
        crate::boot_counting::testing::set_counted(&places, &raw);
        assert_eq!(run(&places), ExitCode::FAILURE, "there is no boot disk here");
    }
}
