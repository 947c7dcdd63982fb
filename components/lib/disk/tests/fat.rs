//! Names on FAT32, beside an implementation of its own (`fatfs`): what one writes, the other reads.

// Helpers outside of #[test] functions fail tests by panicking too.
#![allow(clippy::unwrap_used)]

use std::io::{self, Cursor, Read, Write};
use std::sync::OnceLock;

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use holdfast_disk::fat::{Edit, FatError, rename_in_place};
use proptest::prelude::*;

const FOLDER: [&str; 2] = ["EFI", "Linux"];

/// A disk of which only what was written takes room.
#[derive(Clone)]
struct Image(Vec<u8>);

impl Image {
    /// An empty file system. FAT32 has at least 65,525 clusters.
    fn new() -> Self {
        static EMPTY: OnceLock<Vec<u8>> = OnceLock::new();
        let empty = EMPTY.get_or_init(|| {
            let mut bytes = vec![0; 36 << 20];
            let options =
                FormatVolumeOptions::new().fat_type(fatfs::FatType::Fat32).bytes_per_cluster(512);
            fatfs::format_volume(Cursor::new(&mut bytes), options).unwrap();
            bytes
        });
        let mut image = Self(empty.clone());
        let files = image.files();
        files.root_dir().create_dir("EFI").unwrap().create_dir("Linux").unwrap();
        drop(files);
        image
    }

    fn files(&mut self) -> FileSystem<Cursor<&mut Vec<u8>>> {
        FileSystem::new(Cursor::new(&mut self.0), FsOptions::new()).unwrap()
    }

    fn put(&mut self, name: &str, content: &[u8]) {
        let files = self.files();
        let folder = files.root_dir().open_dir("EFI/Linux").unwrap();
        folder.create_file(name).unwrap().write_all(content).unwrap();
    }

    fn names(&mut self) -> Vec<(String, Vec<u8>)> {
        let files = self.files();
        let folder = files.root_dir().open_dir("EFI/Linux").unwrap();
        let entries: Vec<_> = folder.iter().map(Result::unwrap).collect();
        let mut names = Vec::new();
        for entry in entries.iter().filter(|entry| entry.is_file()) {
            let mut content = Vec::new();
            entry.to_file().read_to_end(&mut content).unwrap();
            names.push((entry.file_name(), content));
        }
        names
    }

    fn rename(&self, from: &str, to: &str) -> Result<Vec<Edit>, FatError> {
        rename_in_place(|offset, into| self.fill(offset, into), &FOLDER, from, to)
    }

    fn fill(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let there = start.checked_add(into.len()).and_then(|end| self.0.get(start..end));
        into.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn apply<'a>(&mut self, edits: impl IntoIterator<Item = &'a Edit>) {
        for edit in edits {
            let start = usize::try_from(edit.offset).unwrap();
            self.0[start..start + edit.sector.len()].copy_from_slice(&edit.sector);
        }
    }
}

fn names(of: &[(String, Vec<u8>)]) -> Vec<&str> {
    of.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_counter_is_taken_off_a_name() {
    let mut image = Image::new();
    image.put("holdfast_0.1.0+2-1.efi", b"kernel");
    let edits = image.rename("holdfast_0.1.0+2-1.efi", "holdfast_0.1.0.efi").unwrap();
    assert_eq!(edits.len(), 1, "one sector: it is written or it is not");
    image.apply(&edits);
    assert_eq!(image.names(), [("holdfast_0.1.0.efi".to_owned(), b"kernel".to_vec())]);
    assert_eq!(image.rename("holdfast_0.1.0+2-1.efi", "holdfast_0.1.0.efi").unwrap(), []);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut image = Image::new();
    image.put("a+3.efi", b"a");
    image.put("b.efi", b"b");
    for (from, to, why) in [
        ("c+1.efi", "c.efi", "there is no c+1.efi"),
        ("a+3.efi", "B.EFI", "B.EFI is there already"),
        ("a+3.efi", "a_long_name.efi", "does not fit"),
        ("a+3.efi", "a/b.efi", "does not fit"),
        ("a+3.efi", "", "does not fit"),
        ("..", "a.efi", "there is no .."),
    ] {
        let refusal = image.rename(from, to).unwrap_err().to_string();
        assert!(refusal.contains(why), "{from} to {to:?}: {refusal}");
    }
    let read = |offset: u64, into: &mut [u8]| image.fill(offset, into);
    let refusal = rename_in_place(read, &["EFI", "BOOT"], "a", "b").unwrap_err();
    assert!(refusal.to_string().contains("there is no BOOT"), "{refusal}");
    let blank = rename_in_place(|_, _| Ok(()), &[], "a", "b").unwrap_err();
    assert!(matches!(blank, FatError::Format(_)), "{blank}");
}

#[test]
fn a_folder_without_end_is_damage() {
    let mut image = Image::new();
    let read = |image: &Image, at: usize| {
        let mut word = [0; 4];
        word.copy_from_slice(&image.0[at..at + 4]);
        usize::try_from(u32::from_le_bytes(word)).unwrap()
    };
    // The root folder's cluster leads to itself, and it has no free slot.
    let reserved = usize::from(u16::from_le_bytes([image.0[14], image.0[15]]));
    let root = read(&image, 44);
    let data = (reserved + usize::from(image.0[16]) * read(&image, 36)) * 512;
    let at = reserved * 512 + root * 4;
    image.0[at..at + 4].copy_from_slice(&u32::try_from(root).unwrap().to_le_bytes());
    image.0[data + (root - 2) * 512..][..512].fill(0xe5);
    let refusal = image.rename("a", "b").unwrap_err();
    assert!(matches!(refusal, FatError::Chain(_)), "{refusal}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Power cuts: after however many of the writes, the content is there under one name that ends
    /// in `.efi`, and all others are as before.
    #[test]
    fn no_cut_loses_a_file(
        before in prop::collection::vec("[a-z]{1,40}", 0..6),
        stem in "[a-z0-9_.]{1,30}[a-z]",
        counter in "\\+[0-9]-[0-9]",
        after in prop::collection::vec("[A-Z]{1,40}", 0..3),
    ) {
        let (from, to) = (format!("{stem}{counter}.efi"), format!("{stem}.efi"));
        let mut image = Image::new();
        let mut others = Vec::new();
        for name in &before {
            others.push(format!("0{name}"));
        }
        for other in &others {
            image.put(other, other.as_bytes());
        }
        image.put(&from, b"the kernel");
        for name in after {
            let other = format!("1{name}");
            image.put(&other, other.as_bytes());
            others.push(other);
        }
        let edits = image.rename(&from, &to).unwrap();
        prop_assert!([1, 3, 4].contains(&edits.len()), "{} writes", edits.len());
        for done in 0..=edits.len() {
            let mut cut = image.clone();
            cut.apply(&edits[..done]);
            let found = cut.names();
            let kernels: Vec<_> =
                found.iter().filter(|(_, content)| content == b"the kernel").collect();
            prop_assert_eq!(kernels.len(), 1, "{:?}", names(&found));
            prop_assert!(kernels[0].0.to_lowercase().ends_with(".efi"), "{:?}", kernels[0].0);
            if done == 0 {
                prop_assert_eq!(&kernels[0].0, &from);
            } else if done == edits.len() {
                prop_assert_eq!(&kernels[0].0, &to);
            }
            for other in &others {
                let same = found.iter().filter(|(name, c)| name == other && c == other.as_bytes());
                prop_assert!(same.count() >= 1, "{} is gone: {:?}", other, names(&found));
            }
        }
    }

    /// Damage is refused or read as something else; nothing panics, and every edit is of a sector
    /// that was read.
    #[test]
    fn damage_does_no_harm(at in prop::collection::vec((0_usize..1 << 20, any::<u8>()), 1..40)) {
        let mut image = Image::new();
        image.put("holdfast_0.1.0+2-1.efi", b"kernel");
        for (offset, byte) in at {
            // Boot sector, tables and folders: what lies between is not read.
            let offset = if offset % 2 == 0 { offset % 512 } else { offset };
            image.0[offset] = byte;
        }
        if let Ok(edits) = image.rename("holdfast_0.1.0+2-1.efi", "holdfast_0.1.0.efi") {
            for edit in edits {
                prop_assert!(usize::try_from(edit.offset).unwrap() + 512 <= image.0.len());
            }
        }
    }
}
