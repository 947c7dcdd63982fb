//! The kernel's own file systems.

use rustix::mount::{MountFlags, mount};

use crate::error::{InitError, at};

/// Mounts `/dev`, `/proc`, `/sys` and `/run` as systemd expects to find them.
pub fn kernel_file_systems() -> Result<(), InitError> {
    let strict = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    for (kind, place, flags, data) in [
        ("devtmpfs", "/dev", MountFlags::NOSUID, c"mode=0755"),
        ("proc", "/proc", strict, c""),
        ("sysfs", "/sys", strict, c""),
        ("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755,size=20%"),
    ] {
        at(format!("create {place}"), std::fs::create_dir_all(place))?;
        at(
            format!("mount {kind} on {place}"),
            mount(kind, place, kind, flags, data).map_err(Into::into),
        )?;
    }
    Ok(())
}
