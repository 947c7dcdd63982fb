//! Kernel modules of the initrd: a few that are always needed, and drivers by what the machine has.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

use crate::error::{InitError, at};

const FOLDER: &str = "/modules";

/// The initrd's modules and which of them are loaded.
///
/// `/modules/base` lists what is always loaded; `/modules/dep` has a line `name: dependency...` per
/// module; `/modules/alias` a line `pattern name` per device alias. All three are made with the
/// image from the kernel's own tables.
#[derive(Default)]
pub struct Modules {
    base: Vec<String>,
    dependencies: BTreeMap<String, Vec<String>>,
    aliases: Vec<(String, String)>,
    loaded: BTreeSet<String>,
}

impl Modules {
    /// Reads the tables.
    pub fn read() -> Result<Self, InitError> {
        let table = |name: &str| {
            let path = format!("{FOLDER}/{name}");
            at(format!("read {path}"), fs::read_to_string(&path))
        };
        Ok(Self::parse(&table("base")?, &table("dep")?, &table("alias")?))
    }

    fn parse(base: &str, dep: &str, alias: &str) -> Self {
        Self {
            base: base.split_whitespace().map(Into::into).collect(),
            dependencies: dep
                .lines()
                .filter_map(|l| l.split_once(':'))
                .map(|(name, needs)| {
                    (name.into(), needs.split_whitespace().map(Into::into).collect())
                })
                .collect(),
            aliases: alias
                .lines()
                .filter_map(|l| l.split_once(' '))
                .map(|(pattern, name)| (pattern.into(), name.into()))
                .collect(),
            loaded: BTreeSet::new(),
        }
    }

    /// Loads what every device needs.
    pub fn load_base(&mut self) -> Result<(), InitError> {
        for name in self.base.clone() {
            self.load(&name)?;
        }
        Ok(())
    }

    /// Loads one more driver of the devices that the kernel has found so far, in the order of the
    /// image's list; says whether there was one. A driver that does not load is passed over: if the
    /// boot disk needs it, the disk will be missed.
    pub fn load_next_driver(&mut self) -> bool {
        let devices = device_aliases();
        let Some(name) = self.next_driver(&devices) else { return false };
        if let Err(error) = self.load(&name) {
            crate::say(&error.to_string());
        }
        true
    }

    fn next_driver(&self, devices: &BTreeSet<String>) -> Option<String> {
        self.aliases
            .iter()
            .filter(|(_, name)| !self.loaded.contains(name))
            .find(|(pattern, _)| devices.iter().any(|d| glob(pattern.as_bytes(), d.as_bytes())))
            .map(|(_, name)| name.clone())
    }

    fn load(&mut self, name: &str) -> Result<(), InitError> {
        if !self.loaded.insert(name.to_owned()) {
            return Ok(());
        }
        for dependency in self.dependencies.get(name).cloned().unwrap_or_default() {
            self.load(&dependency)?;
        }
        let path = format!("{FOLDER}/{name}.ko");
        let file = at(format!("open {path}"), fs::File::open(&path))?;
        match rustix::system::finit_module(&file, c"", 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => at(format!("load {path}"), Err(io::Error::from(error))),
        }
    }
}

fn device_aliases() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for bus in entries("/sys/bus") {
        for device in entries(&format!("{bus}/devices")) {
            if let Ok(text) = fs::read_to_string(format!("{device}/modalias")) {
                found.insert(text.trim_end().to_owned());
            }
        }
    }
    found
}

fn entries(folder: &str) -> Vec<String> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok()?.path().into_os_string().into_string().ok())
        .collect()
}

/// Shell pattern with `*`, `?` and `[a-z]`, as module aliases use it.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| glob(rest, &text[at..])),
        Some((b'?', rest)) => !text.is_empty() && glob(rest, &text[1..]),
        Some((b'[', rest)) => {
            let (Some(end), Some(&c)) = (rest.iter().position(|&b| b == b']'), text.first()) else {
                return false;
            };
            class(&rest[..end], c) && glob(&rest[end + 1..], &text[1..])
        }
        Some((&c, rest)) => text.first() == Some(&c) && glob(rest, &text[1..]),
    }
}

fn class(mut members: &[u8], c: u8) -> bool {
    loop {
        match members {
            [from, b'-', to, rest @ ..] => {
                if (*from..=*to).contains(&c) {
                    return true;
                }
                members = rest;
            }
            [one, rest @ ..] => {
                if *one == c {
                    return true;
                }
                members = rest;
            }
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_module_aliases() {
        for (pattern, text, matches) in [
            ("virtio:d00000002v*", "virtio:d00000002v00001AF4", true),
            ("virtio:d00000002v*", "virtio:d00000001v00001AF4", false),
            ("pci:v*d*sv*sd*bc01sc08i02*", "pci:v00008086d0000F1A5sv1sd2bc01sc08i02", true),
            ("scsi:t-0x00*", "scsi:t-0x00", true),
            ("acpi*:PNP0[AB]03:*", "acpi:PNP0A03:", true),
            ("x[0-9]", "x7", true),
            ("x[0-9", "x7", false),
            ("x", "", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn drivers_are_found_by_alias_in_the_order_of_the_list() {
        let mut modules = Modules::parse(
            "dm_mod",
            "virtio_blk:\nsd_mod: scsi_mod\n",
            "virtio:d00000002v* virtio_blk\nscsi:t-0x00* sd_mod\n",
        );
        let devices = ["scsi:t-0x00", "virtio:d00000002v1"].map(String::from).into();
        assert_eq!(modules.dependencies["sd_mod"], ["scsi_mod"]);
        assert_eq!(modules.next_driver(&devices).as_deref(), Some("virtio_blk"));
        modules.loaded.insert("virtio_blk".into());
        assert_eq!(modules.next_driver(&devices).as_deref(), Some("sd_mod"));
        modules.loaded.insert("sd_mod".into());
        assert_eq!(modules.next_driver(&devices), None);
    }
}
