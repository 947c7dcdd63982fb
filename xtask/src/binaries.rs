//! Building the programs. Device and cloud are separate cargo invocations, so that features of one
//! side never reach the other.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail};

use crate::{paths::Paths, process};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A program of the device.
pub struct Program {
    /// Its file name.
    pub name: &'static str,
    /// The package that it comes from.
    pub package: &'static str,
    /// Its folder on the device: what people call is in `/usr/bin`.
    pub folder: &'static str,
}

/// The programs of the device's root file system.
pub const DEVICE: &[Program] = &[
    Program { name: "holdfast-boot", package: "holdfast-boot", folder: "usr/lib/holdfast" },
    Program { name: "holdfast-enroll", package: "holdfast-enroll", folder: "usr/bin" },
    Program { name: "holdfast-audit", package: "holdfast-audit", folder: "usr/bin" },
    Program { name: "holdfast-usb", package: "holdfast-usb", folder: "usr/bin" },
    Program { name: "holdfast", package: "holdfast-ctl", folder: "usr/bin" },
];

/// Builds the device's programs and returns their folder.
pub fn device(paths: &Paths) -> Result<PathBuf> {
    let packages: Vec<&str> = DEVICE.iter().flat_map(|p| ["-p", p.package]).collect();
    process::step("build the device programs", || {
        cargo(paths, &[&["--profile", "release"], packages.as_slice()].concat(), "")
    })?;
    Ok(paths.target.join("release"))
}

/// Builds a program that makes load, an example of a daemon's package, which is the start of its name:
/// `holdfast-audit-load` is of `holdfast-audit`; its path. `measures`: as the daemons are built that it
/// is beside; else as the workspace's tests have it, so that nothing is built anew for it.
pub fn load(paths: &Paths, name: &str, measures: bool) -> Result<PathBuf> {
    let package = name.rsplit_once('-').map_or(name, |(package, _)| package);
    let (how, folder): (&[_], _) = if measures {
        (&["--profile", "release", "-p", package], "release/examples")
    } else {
        (&["--workspace"], "debug/examples")
    };
    process::step(&format!("build {name}"), || {
        cargo(paths, &[how, &["--example", name]].concat(), "")
    })?;
    Ok(paths.target.join(folder).join(name))
}

/// Builds the initrd's program, which has no libraries to load.
pub fn init(paths: &Paths) -> Result<PathBuf> {
    process::step("build the initrd program", || {
        cargo(
            paths,
            &["--profile", "release", "--target", TARGET, "-p", "holdfast-init"],
            "-Ctarget-feature=+crt-static",
        )
    })?;
    Ok(paths.target.join(TARGET).join("release/holdfast-init"))
}

/// Builds the program that writes an image onto a disk. It runs on any Linux, so it has no libraries
/// to load.
pub fn installer(paths: &Paths) -> Result<PathBuf> {
    process::step("build the installer", || {
        cargo(
            paths,
            &["--profile", "release", "--target", TARGET, "-p", "holdfast-install"],
            "-Ctarget-feature=+crt-static",
        )
    })?;
    Ok(paths.target.join(TARGET).join("release/holdfast-install"))
}

/// Builds the cloud's program.
pub fn cloud(paths: &Paths) -> Result<PathBuf> {
    process::step("build the cloud connector", || {
        cargo(paths, &["--profile", "cloud", "-p", "holdfast-cloud"], "")
    })?;
    Ok(paths.target.join("cloud/holdfast-cloud"))
}

/// Builds the cloud's program as the workspace's tests have it, with overflows and assertions checked:
/// hardly anything of it is built anew after them.
pub fn cloud_under_test(paths: &Paths) -> Result<PathBuf> {
    process::step("build the cloud connector with checks", || {
        cargo(paths, &["--workspace", "--bin", "holdfast-cloud"], "")
    })?;
    Ok(paths.target.join("debug/holdfast-cloud"))
}

fn cargo(paths: &Paths, arguments: &[&str], flags: &str) -> Result<()> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command
        .args(["build", "--locked", "--color=never"])
        .args(arguments)
        .env("CARGO_TARGET_DIR", &paths.target)
        .current_dir(&paths.repository);
    if flags.is_empty() {
        command.env_remove("RUSTFLAGS");
    } else {
        command.env("RUSTFLAGS", flags);
    }
    process::run(&mut command, &paths.build.join("log/cargo.log"))
}

/// Crates that must not be in a device program, with the reason.
pub fn check_device_dependencies(paths: &Paths) -> Result<()> {
    for Program { name, package, .. } in DEVICE {
        let tree = process::output(
            Command::new("cargo")
                .args([
                    "tree",
                    "--locked",
                    "--edges",
                    "normal,build",
                    "--prefix",
                    "none",
                    "-p",
                    package,
                ])
                .current_dir(&paths.repository),
        )?;
        if String::from_utf8(tree)?.lines().any(|l| l.starts_with("aws-lc-")) {
            bail!("{name} links aws-lc, which only the cloud side may use");
        }
    }
    Ok(())
}
