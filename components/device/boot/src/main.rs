//! Before anything else may use the device: anti-rollback gate, state volume, site configuration.
//!
//! One program with a verb per unit. What each decides is a function of what it observes; reading
//! the TPM and the disk is thin around it.
#![forbid(unsafe_code)]

mod audit;
mod binding;
mod bless;
mod boot_counting;
mod boot_disk;
mod closed;
mod console;
mod disk_file_system;
mod files;
mod nv;
mod places;
mod program;
mod recovery;
mod refusal;
mod release;
mod report;
mod secret_file;
mod site;
mod var;

use std::process::ExitCode;

use places::Places;

const HELP: &str = "\
holdfast-boot: what must hold before anything else may use this device

Usage: holdfast-boot VERB [OPTION]...

Verbs, each started by a unit:
  var     Refuse a release below the anti-rollback floor and a boot that was not
          signed; make the state volume on the first boot; open it, prove that it
          is this device's own, and put it at /var (holdfast-var.service)
  site    Verify the site configuration on the boot disk, measure it into PCR 14
          and put it into /run/holdfast/site (holdfast-site.service)
  recovery
          Make the recovery key of the state volume, wrap it to the operator's public
          key, and keep the TPM's record of it; destroy the key before it once the
          cloud has the new one (holdfast-recovery.service)
  bless   Take the boot loader's counters off the name of the running UKI: this boot
          is good (holdfast-bless.service)
  report  Record what booted: release, kernel, firmware, boot loader, TPM; leave it
          for the enroller to tell the cloud (holdfast-report.service)
  closed  Say on every console why this device stays closed; restart while the
          boot loader still counts tries, so that it falls back; ask for the
          recovery key where the state volume does not open (emergency.service)

Options:
  --tpm=TCTI     TPM to use; device:/dev/tpmrm0
  --root=FOLDER  Take all files below this folder; /
  --esp=FOLDER   Take the site configuration from this folder instead of the EFI
                 system partition
  -h, --help     Show this text

Exit status: 0 done, 1 refused or failed, 2 wrong use.
";

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if arguments.iter().any(|word| word == "--help" || word == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some((verb, options)) = arguments.split_first() else {
        return usage("a verb is missing");
    };
    let places = match Places::from_options(options) {
        Ok(places) => places,
        Err(problem) => return usage(&problem),
    };
    match verb.as_str() {
        "var" => var::run(&places),
        "site" => site::run(&places),
        "bless" => bless::run(&places),
        "recovery" => recovery::run(&places),
        "report" => report::run(&places),
        "closed" => closed::run(&places),
        _ => usage(&format!("no verb {verb:?}")),
    }
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("holdfast-boot: {problem}; see holdfast-boot --help");
    ExitCode::from(2)
}
