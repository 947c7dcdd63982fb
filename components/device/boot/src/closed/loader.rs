//! Whether the boot loader still counts tries of the running UKI (systemd Automatic Boot
//! Assessment; Boot Loader Interface).

use std::fs;

use crate::places::Places;

const COUNT_PATH: &str =
    "sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const ENTRIES: &str = "sys/firmware/efi/efivars/LoaderEntries-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// What the boot loader said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counting {
    /// Tries left after this one; `None` when the UKI started well before.
    tries_left: Option<u32>,
    /// Number of UKIs that the boot loader can choose from.
    entries: usize,
}

/// What to do after saying why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// Restart, so that the boot loader counts on or falls back.
    Restart,
    /// Stay closed.
    Stay,
}

impl Counting {
    /// Reads the boot loader's variables.
    pub fn read(places: &Places) -> Self {
        let text = |path: &str| fs::read(places.at(path)).map(|raw| strings(&raw));
        Self {
            tries_left: text(COUNT_PATH).ok().and_then(|path| tries_left(path.first()?)),
            entries: text(ENTRIES).unwrap_or_default().len(),
        }
    }

    /// The last try has none left after it: only another UKI makes a restart worth it.
    pub fn conduct(self) -> Conduct {
        match self.tries_left {
            Some(left) if left > 0 || self.entries > 1 => Conduct::Restart,
            _ => Conduct::Stay,
        }
    }
}

/// The texts of a variable: four bytes of attributes, then UTF-16, each text ended by a zero.
fn strings(raw: &[u8]) -> Vec<String> {
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

/// Tries left in `...+LEFT.efi` or `...+LEFT-DONE.efi`.
fn tries_left(path: &str) -> Option<u32> {
    let (_, counters) = path.strip_suffix(".efi")?.rsplit_once('+')?;
    counters.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(texts: &[&str]) -> Vec<u8> {
        let mut raw = vec![6, 0, 0, 0];
        for text in texts {
            raw.extend(text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        }
        raw
    }

    #[test]
    fn counters_in_names() {
        for (path, left) in [
            ("\\EFI\\Linux\\holdfast_0.1.0+2-1.efi", Some(2)),
            ("\\EFI\\Linux\\holdfast_0.1.0+0-3.efi", Some(0)),
            ("\\EFI\\Linux\\holdfast_0.1.0+3.efi", Some(3)),
            ("\\EFI\\Linux\\holdfast_0.1.0.efi", None),
            ("\\EFI\\Linux\\a+b.efi", None),
            ("\\EFI\\Linux\\a+1", None),
        ] {
            assert_eq!(tries_left(path), left, "{path}");
        }
    }

    #[test]
    fn the_last_try_restarts_only_if_there_is_something_to_fall_back_to() {
        for (tries_left, entries, conduct) in [
            (None, 2, Conduct::Stay),
            (Some(2), 1, Conduct::Restart),
            (Some(0), 1, Conduct::Stay),
            (Some(0), 2, Conduct::Restart),
            (Some(0), 0, Conduct::Stay),
        ] {
            assert_eq!(Counting { tries_left, entries }.conduct(), conduct);
        }
    }

    #[test]
    fn variables_are_read() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::from_options(&[format!("--root={}", root.path().display())]).unwrap();
        assert_eq!(Counting::read(&places), Counting { tries_left: None, entries: 0 });
        fs::create_dir_all(places.at(COUNT_PATH).parent().unwrap()).unwrap();
        fs::write(places.at(COUNT_PATH), variable(&["\\EFI\\Linux\\a+1-2.efi"])).unwrap();
        fs::write(places.at(ENTRIES), variable(&["a.efi", "b.efi"])).unwrap();
        assert_eq!(Counting::read(&places), Counting { tries_left: Some(1), entries: 2 });
        fs::write(places.at(COUNT_PATH), [1, 2]).unwrap();
        assert_eq!(Counting::read(&places).tries_left, None);
    }
}
