use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::process::run;
use crate::{Result, Toolchain};

/// The GUID under which a key is enrolled, naming its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyOwner(pub Uuid);

/// Certificates (PEM files) for the Secure Boot variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecureBootKeys {
    /// Whose keys they are.
    pub owner: KeyOwner,
    /// Platform key: may change everything.
    pub platform_key: PathBuf,
    /// Key exchange keys: may change `db`.
    pub key_exchange_keys: Vec<PathBuf>,
    /// Keys that sign what boots.
    pub db: Vec<PathBuf>,
}

/// Makes firmware variables with Secure Boot on and these keys in them, at `output`.
pub fn enroll_keys(toolchain: &Toolchain, keys: &SecureBootKeys, output: &Path) -> Result<()> {
    run(&enroll_command(toolchain, keys, output), &[]).map(drop)
}

fn enroll_command(toolchain: &Toolchain, keys: &SecureBootKeys, output: &Path) -> Vec<String> {
    let owner = keys.owner.0.to_string();
    let mut command = toolchain.virt_fw_vars.clone();
    let mut add = |option: &str, values: &[&str]| {
        command.push(option.to_owned());
        command.extend(values.iter().map(|&value| value.to_owned()));
    };
    let text = |path: &Path| path.display().to_string();
    add("--input", &[&text(&toolchain.ovmf_vars_template)]);
    add("--output", &[&text(output)]);
    add("--set-pk", &[&owner, &text(&keys.platform_key)]);
    for key in &keys.key_exchange_keys {
        add("--add-kek", &[&owner, &text(key)]);
    }
    for key in &keys.db {
        add("--add-db", &[&owner, &text(key)]);
    }
    add("--secure-boot", &[]);
    command
}
