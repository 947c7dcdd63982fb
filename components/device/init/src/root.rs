//! Mounting the root file system and handing over to it.

use std::{convert::Infallible, fs, os::unix::process::CommandExt, path::Path, process::Command};

use rustix::mount::{MountFlags, mount_move};

use crate::error::{InitError, at};

const ROOT: &str = "/sysroot";
const INIT: &str = "/usr/lib/systemd/systemd";

/// Mounts the verified device read-only.
pub fn mount() -> Result<(), InitError> {
    at("create /sysroot", fs::create_dir_all(ROOT))?;
    at(
        "mount the root file system",
        rustix::mount::mount("/dev/dm-0", ROOT, "erofs", MountFlags::RDONLY, c"")
            .map_err(Into::into),
    )
}

/// Carries the UKI's PCR signatures over, moves the kernel's file systems, frees the initrd and
/// starts systemd. Returns only if that fails.
pub fn switch() -> Result<Infallible, InitError> {
    keep_pcr_signatures()?;
    for place in ["/dev", "/proc", "/sys", "/run"] {
        at(
            format!("move {place}"),
            mount_move(place, format!("{ROOT}{place}")).map_err(Into::into),
        )?;
    }
    at("enter the root file system", std::env::set_current_dir(ROOT))?;
    let _ = fs::remove_dir_all("/modules");
    let _ = fs::remove_file("/init");
    at("move the root file system", mount_move(".", "/").map_err(Into::into))?;
    at("change to the root file system", rustix::process::chroot(".").map_err(Into::into))?;
    at("change to /", std::env::set_current_dir("/"))?;
    at(format!("start {INIT}"), Err(Command::new(INIT).exec()))
}

/// The stub leaves the signed PCR 11 policies and their key in `/.extra`; systemd and Holdfast look
/// for them in `/run/systemd` (systemd-stub(7)).
fn keep_pcr_signatures() -> Result<(), InitError> {
    at("create /run/systemd", fs::create_dir_all("/run/systemd"))?;
    for name in ["tpm2-pcr-signature.json", "tpm2-pcr-public-key.pem"] {
        let from = Path::new("/.extra").join(name);
        if from.exists() {
            at(format!("copy {name}"), fs::copy(&from, Path::new("/run/systemd").join(name)))?;
        }
    }
    Ok(())
}
