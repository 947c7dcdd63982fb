//! `image/layout.toml`: the disk, the command line, the initrd.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// EFI system partition.
    pub esp: Esp,
    /// The partitions of a slot.
    pub slot: Slot,
    /// The state volume.
    pub var: Var,
    /// Kernel command lines: `common` and one per profile.
    pub command_line: BTreeMap<String, Vec<String>>,
    /// What a profile has besides.
    #[serde(default)]
    pub profile: BTreeMap<String, Besides>,
    /// Modules of the initrd.
    pub initrd: Initrd,
    /// Signed PCR 11 values.
    pub measured_boot: MeasuredBoot,
}

/// What a profile has besides.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Besides {
    /// Folders of `image/profiles/`, each put over the ones before.
    pub trees: Vec<String>,
    /// Files of the tools' tree.
    pub from_tools: Vec<String>,
    /// Programs of ours that make load, in `/usr/bin`.
    pub programs: Vec<String>,
    /// Figures are taken there: these programs are built as the daemons are that they are beside.
    pub measures: bool,
    /// Drivers with which the device is a USB gadget to itself, in [`GADGETS`].
    pub gadgets: bool,
}

/// Where `mkosi.postinst` lays the drivers of gadgets aside.
pub const GADGETS: &str = "usr/lib/holdfast-gadgets";

/// EFI system partition.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Esp {
    /// Size in MiB.
    pub size_mib: u64,
    /// Partition label.
    pub label: String,
}

/// The partitions of a slot.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Root file system, MiB.
    pub root_mib: u64,
    /// Verity hash tree, MiB.
    pub verity_mib: u64,
    /// Root hash signature, KiB.
    pub signature_kib: u64,
}

/// The state volume, made on first boot.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Var {
    /// Partition label.
    pub label: String,
    /// Least size in MiB.
    pub minimum_mib: u64,
}

/// Modules of the initrd.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Initrd {
    /// Always loaded, in this order.
    pub base: Vec<String>,
    /// Loaded where a device has one of their aliases.
    pub drivers: Vec<String>,
}

/// Signed PCR 11 values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredBoot {
    /// Phase paths.
    pub phases: Vec<String>,
}

impl Layout {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("parse {}", path.display()))
    }

    /// The command line of a profile for a root hash.
    pub fn command_line(&self, profile: &str, root_hash: &str) -> Result<String> {
        let own = self.command_line.get(profile).with_context(|| {
            format!("layout.toml: command_line has no entry for profile `{profile}`")
        })?;
        let common = self
            .command_line
            .get("common")
            .context("layout.toml: command_line.common is missing")?;
        let mut words: Vec<&str> = common.iter().chain(own).map(String::as_str).collect();
        let root = format!("holdfast.root={root_hash}");
        words.push(&root);
        Ok(words.join(" "))
    }

    /// The device's repart definitions: what is there keeps its size, `/var` takes the rest.
    pub fn repart_definitions(&self) -> Vec<(String, String)> {
        let fixed = |kind: &str, size: String| {
            format!("[Partition]\nType={kind}\nSizeMinBytes={size}\nSizeMaxBytes={size}\n")
        };
        let mut files =
            vec![("00-esp.conf".to_owned(), fixed("esp", format!("{}M", self.esp.size_mib)))];
        for (digit, slot) in [(1, "a"), (2, "b")] {
            for (number, (kind, size)) in [
                ("root-x86-64", format!("{}M", self.slot.root_mib)),
                ("root-x86-64-verity", format!("{}M", self.slot.verity_mib)),
                ("root-x86-64-verity-sig", format!("{}K", self.slot.signature_kib)),
            ]
            .into_iter()
            .enumerate()
            {
                files.push((format!("{digit}{number}-{kind}-{slot}.conf"), fixed(kind, size)));
            }
        }
        let mut var = String::from("[Partition]\nType=var\n");
        let _ = writeln!(var, "Label={}", self.var.label);
        let _ = writeln!(var, "SizeMinBytes={}M", self.var.minimum_mib);
        var += "Format=ext4\nEncrypt=tpm2\nFactoryReset=yes\n";
        files.push(("30-var.conf".into(), var));
        files
    }
}
