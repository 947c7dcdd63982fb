//! `holdfast-install`: writes a golden image onto the disk of a device.
#![forbid(unsafe_code)]

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use holdfast_install::{Image, InstallError, SiteFiles, Step, Target, write};
use serde::Serialize;

/// Write a golden image onto the disk of a device.
///
/// Start any Linux on the device from a USB stick, with this program, the image and the site
/// configuration on the stick, and name the device's own disk. Everything on that disk is erased.
/// What is written is read back. An interrupted installation leaves a disk that does not boot; begin
/// anew.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong use, 3 refused: nothing was changed."
)]
struct Arguments {
    /// The disk: a block device, or the file of a virtual disk.
    disk: PathBuf,
    /// The image that the build made.
    #[arg(long, default_value = "disk.raw", value_name = "FILE")]
    image: PathBuf,
    /// The site configuration for the boot partition, with its signature beside it in FILE.sig.
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// The key that signed the site configuration, PEM; without it the device alone verifies.
    #[arg(long, value_name = "FILE", requires = "site")]
    site_key: Option<PathBuf>,
    /// A file with the pairing code by which the device is registered, as the connector printed it.
    #[arg(long, value_name = "FILE", requires = "site")]
    pairing_code: Option<PathBuf>,
    /// The site.transfer with which the cloud that the device leaves lets it go to this site.
    #[arg(long, value_name = "FILE", requires = "site")]
    transfer: Option<PathBuf>,
    /// Check everything and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before the disk is erased.
    #[arg(long)]
    yes: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Outcome {
    disk: String,
    release: String,
    bytes: u64,
    tenant: Option<String>,
    site_verified: bool,
    written: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(Some(outcome)) => report(&arguments, &outcome),
        Ok(None) => {
            eprintln!("holdfast-install: nothing was changed");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("holdfast-install: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}

fn run(arguments: &Arguments) -> Result<Option<Outcome>, InstallError> {
    let image = Image::open(&arguments.image)?;
    let site = arguments.site.as_deref().map(|site| site_files(site, arguments)).transpose()?;
    let target = Target::open(&arguments.disk, &image)?;
    if site.is_none() {
        eprintln!("without --site the device will wait for a site configuration");
    }
    let outcome = Outcome {
        disk: arguments.disk.display().to_string(),
        release: image.release.clone(),
        bytes: target.size(),
        tenant: site.as_ref().map(|site| site.tenant.clone()),
        site_verified: site.as_ref().is_some_and(|site| site.is_verified),
        written: !arguments.dry_run,
    };
    if arguments.dry_run {
        return Ok(Some(outcome));
    }
    if !arguments.yes && !is_meant(arguments, &outcome) {
        return Ok(None);
    }
    let mut shown = Shown { last: None, is_terminal: io::stderr().is_terminal() };
    write(&image, site.as_ref(), &target, &mut |step, done, whole| shown.show(step, done, whole))?;
    shown.end();
    Ok(Some(outcome))
}

fn site_files(site: &Path, arguments: &Arguments) -> Result<SiteFiles, InstallError> {
    let mut files = SiteFiles::read(site, arguments.site_key.as_deref())?;
    if let Some(path) = &arguments.pairing_code {
        files = files.with_pairing_code(path)?;
    }
    if let Some(path) = &arguments.transfer {
        files = files.with_transfer(path)?;
    }
    Ok(files)
}

/// Asks; only the disk's name, typed, is a yes.
fn is_meant(arguments: &Arguments, outcome: &Outcome) -> bool {
    let name = &outcome.disk;
    let model = Target::model(&arguments.disk).unwrap_or_else(|| "unknown model".to_owned());
    eprintln!("{name} ({model}, {} MiB) will be erased.", outcome.bytes >> 20);
    eprint!("Type its name to go on: ");
    let _ = io::stderr().flush();
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).is_ok() && line.trim() == name
}

fn report(arguments: &Arguments, outcome: &Outcome) -> ExitCode {
    let mut stdout = io::stdout().lock();
    let printed = if arguments.json {
        match serde_json::to_string(outcome) {
            Ok(text) => writeln!(stdout, "{text}"),
            Err(error) => Err(error.into()),
        }
    } else {
        let Outcome { disk, release, .. } = outcome;
        let tenant = outcome.tenant.as_deref().unwrap_or("none yet");
        if outcome.written {
            writeln!(
                stdout,
                "{release} is on {disk}, tenant {tenant}; take the stick out and restart"
            )
        } else {
            writeln!(stdout, "{release} fits onto {disk}, tenant {tenant}; nothing was changed")
        }
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Progress on standard error: a line that counts up for people, one per tenth for logs.
struct Shown {
    last: Option<(Step, u64)>,
    is_terminal: bool,
}

impl Shown {
    fn show(&mut self, step: Step, done: u64, whole: u64) {
        let percent = (done * 100).checked_div(whole).unwrap_or(100);
        let percent = if self.is_terminal { percent } else { percent / 10 * 10 };
        if self.last == Some((step, percent)) {
            return;
        }
        self.last = Some((step, percent));
        let what = match step {
            Step::Write => "writing",
            Step::Verify => "reading back",
        };
        let (before, after) = if self.is_terminal { ("\r", "") } else { ("", "\n") };
        eprint!("{before}  {what} {percent:3} %{after}");
    }

    fn end(&self) {
        if self.is_terminal {
            eprintln!();
        }
    }
}
