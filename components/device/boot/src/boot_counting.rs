//! Counting of tries by the boot loader (systemd Automatic Boot Assessment; Boot Loader Interface):
//! `holdfast_1+2-1.efi` has two tries left and had one.

use std::{fs, io};

use crate::places::Places;

const COUNT_PATH: &str =
    "sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// The running UKI, while its tries are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Its folders on the EFI system partition, outermost first.
    pub folder: Vec<String>,
    /// Its file name, with counters.
    pub name: String,
    /// Its name without counters.
    pub good_name: String,
    /// Tries left after this one.
    pub tries_left: u32,
}

impl Counted {
    /// What the boot loader said; `None` when the UKI was found good before.
    pub fn read(places: &Places) -> io::Result<Option<Self>> {
        match fs::read(places.at(COUNT_PATH)) {
            Ok(raw) => match strings(&raw).first() {
                Some(path) => match Self::parse(path) {
                    Some(counted) => Ok(Some(counted)),
                    None => Err(io::Error::other(format!(
                        "the boot loader counts {path:?}, which has no counters"
                    ))),
                },
                None => Err(io::Error::other("LoaderBootCountPath is empty")),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes `\EFI\Linux\NAME+LEFT.efi` or `...+LEFT-DONE.efi` apart.
    fn parse(path: &str) -> Option<Self> {
        let (folder, name) = path.strip_prefix('\\')?.rsplit_once('\\')?;
        let (stem, counters) = name.strip_suffix(".efi")?.rsplit_once('+')?;
        let (left, done) = counters.split_once('-').unwrap_or((counters, "0"));
        let number = |text: &str| -> Option<u32> {
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
        };
        number(done)?;
        let folder: Vec<String> = folder.split('\\').map(str::to_owned).collect();
        if stem.is_empty() || folder.iter().any(String::is_empty) {
            return None;
        }
        Some(Self {
            folder,
            name: name.to_owned(),
            good_name: format!("{stem}.efi"),
            tries_left: number(left)?,
        })
    }
}

/// The texts of a variable: four bytes of attributes, then UTF-16, each text ended by a zero.
pub fn strings(raw: &[u8]) -> Vec<String> {
    let units: Vec<u16> = raw
        .get(4..)
        .unwrap_or_default()
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    units
        .split(|&unit| unit == 0)
        .filter(|text| !text.is_empty())
        .map(String::from_utf16_lossy)
        .collect()
}

/// For tests: what the boot loader writes.
#[cfg(test)]
pub mod testing {
    use super::{COUNT_PATH, Places, fs};

    /// A variable with these texts.
    pub fn variable(texts: &[&str]) -> Vec<u8> {
        let mut raw = vec![6, 0, 0, 0];
        for text in texts {
            raw.extend(text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        }
        raw
    }

    /// Sets what is counted.
    pub fn set_counted(places: &Places, raw: &[u8]) {
        fs::create_dir_all(places.at(COUNT_PATH).parent().unwrap()).unwrap();
        fs::write(places.at(COUNT_PATH), raw).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{set_counted, variable};
    use super::*;

    #[test]
    fn counters_in_names() {
        for (path, left, good) in [
            (r"\EFI\Linux\holdfast_0.1.0+2-1.efi", 2, "holdfast_0.1.0.efi"),
            (r"\EFI\Linux\holdfast_0.1.0+0-3.efi", 0, "holdfast_0.1.0.efi"),
            (r"\EFI\Linux\holdfast_0.1.0+3.efi", 3, "holdfast_0.1.0.efi"),
            (r"\EFI\Linux\a+1+2.efi", 2, "a+1.efi"),
        ] {
            let counted = Counted::parse(path).unwrap();
            assert_eq!((counted.tries_left, counted.good_name.as_str()), (left, good), "{path}");
            assert_eq!(counted.folder, ["EFI", "Linux"]);
            assert_eq!(path.rsplit('\\').next(), Some(counted.name.as_str()));
        }
        for path in [
            r"\EFI\Linux\holdfast_0.1.0.efi",
            r"\EFI\Linux\a+b.efi",
            r"\EFI\Linux\a+1",
            r"\EFI\Linux\+1.efi",
            r"\EFI\Linux\a+1-.efi",
            r"\EFI\\a+1.efi",
            r"\a+1.efi",
            "a+1.efi",
            "",
        ] {
            assert_eq!(Counted::parse(path), None, "{path}");
        }
    }

    #[test]
    fn variables_are_read() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::from_options(&[format!("--root={}", root.path().display())]).unwrap();
        assert_eq!(Counted::read(&places).unwrap(), None);
        set_counted(&places, &variable(&[r"\EFI\Linux\a+1-2.efi"]));
        assert_eq!(Counted::read(&places).unwrap().unwrap().tries_left, 1);
        for bad in [&[1, 2][..], &variable(&[r"\EFI\Linux\a.efi"])] {
            set_counted(&places, bad);
            assert!(Counted::read(&places).is_err(), "{bad:?}");
        }
    }
}
