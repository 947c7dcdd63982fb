//! What the daemon may touch, said by itself to the kernel before it listens to anybody
//! (Linux, Documentation/userspace-api/landlock.rst).

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
};

/// Truncation is handled from here on: without that a rule for writing is none (Linux 6.2).
const NEEDED: ABI = ABI::V3;

/// Why it is not confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The kernel refuses.
    #[error("cannot confine the daemon: {0}; Linux 6.2 or later with Landlock is needed")]
    Landlock(#[from] RulesetError),
    /// The kernel takes only a part of it.
    #[error("the kernel confines the daemon only in part; Linux 6.2 or later is needed")]
    InPart,
}

/// From now on this process reads everything, writes attributes of devices and the one file that
/// makes drivers look for interfaces, and changes the files of its own folders. Nothing else is
/// written, made, removed or run, whoever talks it into that.
pub fn confine(sysfs: &Path, own_folders: &[&Path]) -> Result<(), ConfineError> {
    let all = AccessFs::from_all(NEEDED);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(all)?
        .create()?;
    let ruleset = allow(ruleset, Path::new("/"), read)?;
    let ruleset = allow(ruleset, &sysfs.join("devices"), read | AccessFs::WriteFile)?;
    let ruleset = allow(ruleset, &sysfs.join("bus/usb/drivers_probe"), AccessFs::WriteFile.into())?;
    let own = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    let mut ruleset = ruleset;
    for folder in own_folders {
        ruleset = allow(ruleset, folder, read | own)?;
    }
    match ruleset.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::NotEnforced => Err(ConfineError::InPart),
    }
}

/// What is not there cannot be written either.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(path) => ruleset.add_rule(PathBeneath::new(path, access)),
        Err(error) => {
            tracing::warn!("{error}");
            Ok(ruleset)
        }
    }
}
