//! The initrd's only program.
//!
//! It loads the drivers that the boot disk needs, finds the root partition whose verity root hash
//! the signed command line names on the disk that the firmware booted from, opens it through
//! dm-verity with its signature, and hands over to systemd in it. There is no shell and nothing to
//! configure; a fault is printed and the machine restarts, so that boot counting can fall back.

mod boot_disk;
mod cmdline;
mod error;
mod modules;
mod mounts;
mod pcr;
mod root;
mod sys;
mod verity;

use std::{thread, time::Duration};

use error::InitError;

/// Time for a person to read the reason before the restart.
const RESTART_DELAY: Duration = Duration::from_secs(30);

fn main() {
    if std::process::id() != 1 {
        eprintln!("holdfast-init is the first program of the initrd and does nothing elsewhere");
        std::process::exit(2);
    }
    let Err(error) = boot();
    say(&format!("boot refused: {error}"));
    say(&format!("restarting in {} seconds", RESTART_DELAY.as_secs()));
    thread::sleep(RESTART_DELAY);
    sys::restart();
}

fn boot() -> Result<std::convert::Infallible, InitError> {
    mounts::kernel_file_systems()?;
    let tpm = pcr::Tpm::find();
    tpm.measure_phase("enter-initrd")?;
    let cmdline = cmdline::CommandLine::read()?;
    let mut modules = modules::Modules::read()?;
    modules.load_base()?;
    let disk = boot_disk::find(&mut modules)?;
    say(&format!("root {} on /dev/{}", cmdline.root_hash_short(), disk.name));
    verity::open(&disk, &cmdline.root_hash)?;
    root::mount()?;
    tpm.measure_phase("leave-initrd")?;
    root::switch()
}

/// One line on the console through the kernel's log.
fn say(text: &str) {
    sys::kernel_log(&format!("<3>holdfast-init: {text}\n"));
}
