//! What is in the programs of the device.

use std::process::Command;

use anyhow::{Result, ensure};
use holdfast_tests::Workshop;

use crate::support::tools::{file_of_root, run};
use crate::support::trial::{Outcome, repository, trial};

/// Programs of the root file system and the packages that they are made from.
const PROGRAMS: [(&str, &str); 5] = [
    ("/usr/bin/holdfast", "holdfast-ctl"),
    ("/usr/lib/holdfast/holdfast-boot", "holdfast-boot"),
    ("/usr/bin/holdfast-enroll", "holdfast-enroll"),
    ("/usr/bin/holdfast-audit", "holdfast-audit"),
    ("/usr/bin/holdfast-usb", "holdfast-usb"),
];
/// Programs that are elsewhere: in the initrd, and on the stick from which a device is installed.
const NOT_IN_ROOT: [(&str, &str); 2] =
    [("/init", "holdfast-init"), ("holdfast-install", "holdfast-install")];
/// In the text of every error and assertion of that library.
const NEEDLES: [&str; 2] = ["aws-lc", "aws_lc"];

#[test]
fn no_device_program_contains_aws_lc() -> Outcome {
    trial("no_device_program_contains_aws_lc", |trial| search(&trial.workshop))
}

fn search(workshop: &Workshop) -> Result<()> {
    let cloud = std::fs::read(workshop.cloud_program())?;
    ensure!(NEEDLES.iter().any(|needle| has(&cloud, needle)), "the needle would not be found");
    for profile in ["release", "debug"] {
        let root = workshop.image(profile, "root.erofs").canonicalize()?;
        for (program, _) in PROGRAMS {
            let content = file_of_root(&root, program)?;
            ensure!(content.starts_with(b"\x7fELF"), "{program} of {profile} is no program");
            for needle in NEEDLES {
                ensure!(!has(&content, needle), "{program} of {profile} contains {needle}");
            }
        }
    }
    Ok(())
}

#[test]
fn no_device_program_depends_on_aws_lc() -> Outcome {
    trial("no_device_program_depends_on_aws_lc", |_| ask_cargo())
}

fn ask_cargo() -> Result<()> {
    for (_, package) in PROGRAMS.into_iter().chain(NOT_IN_ROOT) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let tree = run(Command::new(cargo)
            .args([
                "tree",
                "--locked",
                "--offline",
                "--edges",
                "normal,build",
                "--prefix",
                "none",
                "-p",
                package,
            ])
            .current_dir(repository()))?;
        let tree = String::from_utf8(tree)?;
        ensure!(tree.starts_with(package), "{tree}");
        let found = tree.lines().find(|line| line.starts_with("aws-lc"));
        ensure!(found.is_none(), "{package} depends on {found:?}");
    }
    Ok(())
}

fn has(content: &[u8], needle: &str) -> bool {
    content.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}
