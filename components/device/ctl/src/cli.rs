//! The table of verbs.

use std::path::PathBuf;

use clap::{ColorChoice, Parser, Subcommand};

use crate::{
    Code, Failure, audit, bus, checks, identity,
    renew::{self, Proof},
    seal, status, token, usb,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done; for check: nothing failed
  1  failed; for check: at least one check failed
  2  the command line is wrong
  3  refused: you may not do this, or this device cannot open the file
  4  the service that is asked or the system bus cannot be reached

Reading needs the group holdfast-viewer; token, and what changes the USB policy for good, \
holdfast-admin; everything else holdfast-operator.";

/// Speaks with the services of this Holdfast device: identity, audit log, USB.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, color = ColorChoice::Never, after_help = EXIT_CODES)]
#[command(arg_required_else_help = true)]
pub struct Cli {
    /// Writes JSON for programs; field names are stable.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Says how far the device is on its way to an identity, and what to do next.
    #[command(after_help = EXIT_CODES)]
    Status {
        /// Stays and prints each change; meant for the console of a device without a login.
        #[arg(long)]
        watch: bool,
        /// With --watch, also runs all checks whenever the device has got as far as it can.
        #[arg(long, requires = "watch")]
        checks: bool,
    },
    /// Shows Edge ID, endorsement key, device id and certificate: what the cloud knows it by.
    #[command(after_help = EXIT_CODES)]
    Identity,
    /// Replaces the certificate now, with a new key, and waits until the new one is in use. The
    /// device does this by itself when two thirds of the certificate's life are over.
    #[command(after_help = EXIT_CODES)]
    Renew,
    /// Enrols anew as on the first boot, by the TPM's endorsement key and what was booted. For a
    /// device whose certificate the cloud does not accept any more; a certificate in use stays in
    /// use until the new one is accepted.
    #[command(after_help = EXIT_CODES)]
    ReEnroll,
    /// Looks for what is wrong with this device. Each check has a stable id.
    #[command(after_help = EXIT_CODES)]
    Check {
        /// Runs only these checks.
        #[arg(value_name = "ID", value_parser = clap::builder::PossibleValuesParser::new(checks::ids()))]
        ids: Vec<String>,
    },
    /// Prints a token by which this device shows a third party who it is; good for 15 minutes, and
    /// only together with the device's TLS key.
    #[command(after_help = EXIT_CODES)]
    Token {
        /// Who will read the token, often a URL; allowed in the cloud with
        /// `holdfast-cloud token audience add`.
        audience: String,
    },
    /// Shows the device's audit log, and how far the cloud has it.
    #[command(after_help = EXIT_CODES)]
    Audit {
        #[command(subcommand)]
        verb: audit::Verb,
    },
    /// Shows the USB devices and ports, says why one is blocked, and lets in what is wanted.
    #[command(after_help = format!("{}\n\n{EXIT_CODES}", usb::EXAMPLES))]
    Usb {
        #[command(subcommand)]
        verb: usb::Verb,
    },
    /// Encrypts a file so that only you, on this device and in a boot state that its maker signed,
    /// can open it.
    #[command(after_help = EXIT_CODES)]
    Seal {
        /// The file; it stays as it is.
        file: PathBuf,
        /// Where to write [default: FILE.sealed].
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// Replaces the output if it is there.
        #[arg(long)]
        force: bool,
    },
    /// Opens a file that `seal` made on this device.
    #[command(after_help = EXIT_CODES)]
    Unseal {
        /// The sealed file; it stays as it is.
        file: PathBuf,
        /// Where to write [default: FILE without .sealed].
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// Replaces the output if it is there.
        #[arg(long)]
        force: bool,
    },
}

/// Runs one command and prints what it has to say.
pub async fn run(cli: Cli) -> Result<Code, Failure> {
    let json = cli.json;
    match cli.verb {
        Verb::Status { watch: false, .. } => status::show(&bus::connect().await?, json).await,
        Verb::Status { watch: true, checks } => {
            status::watch(&bus::connect().await?, status::Manner { json, checks }).await
        }
        Verb::Identity => identity::show(&bus::connect().await?, json).await,
        Verb::Renew => renew::run(&bus::connect_to_wait().await?, Proof::Certificate, json).await,
        Verb::ReEnroll => {
            renew::run(&bus::connect_to_wait().await?, Proof::EndorsementKey, json).await
        }
        Verb::Token { audience } => token::show(&bus::connect().await?, &audience, json).await,
        Verb::Check { ids } => checks::run(&ids, json).await,
        Verb::Audit { verb } => audit::run(verb, json).await,
        Verb::Usb { verb } => usb::run(verb, json).await,
        Verb::Seal { file, output, force } => {
            let job = seal::Job::sealing(file, output, force);
            seal::seal(&bus::connect().await?, &job, json).await
        }
        Verb::Unseal { file, output, force } => {
            let job = seal::Job::opening(file, output, force)?;
            seal::unseal(&bus::connect().await?, &job, json).await
        }
    }
}

/// Writes one line, or more, to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| {
        Failure::new(Code::Failed, format!("standard output cannot be written: {error}"))
    })
}

/// Writes a value as JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::new(Code::Failed, format!("no JSON: {error}")))?;
    print(&text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_names_the_exit_codes() {
        let mut command = Cli::command();
        assert!(command.render_long_help().to_string().contains("Exit codes:"));
        for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
            let help = verb.render_long_help().to_string();
            assert!(help.contains("Exit codes:"), "{}", verb.get_name());
        }
    }
}
