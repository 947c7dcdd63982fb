//! Whether the boot loader still counts tries of the running UKI (systemd Automatic Boot
//! Assessment; Boot Loader Interface).

use std::fs;

use crate::boot_counting::{Counted, strings};
use crate::places::Places;

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
        let counted = Counted::read(places).ok().flatten();
        let entries = fs::read(places.at(ENTRIES)).map(|raw| strings(&raw));
        Self {
            tries_left: counted.map(|counted| counted.tries_left),
            entries: entries.unwrap_or_default().len(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot_counting::testing::{set_counted, variable};

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
        set_counted(&places, &variable(&["\\EFI\\Linux\\a+1-2.efi"]));
        fs::write(places.at(ENTRIES), variable(&["a.efi", "b.efi"])).unwrap();
        assert_eq!(Counting::read(&places), Counting { tries_left: Some(1), entries: 2 });
        set_counted(&places, &[1, 2]);
        assert_eq!(Counting::read(&places).tries_left, None);
    }
}
